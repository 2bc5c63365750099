!> Angular symmetry functions over a block of triples (centre, j, k), the triples in the vector lanes.
!>
!> G4 and G5 of Behler, J. Chem. Phys. 134, 074106 (2011), as ænet defines them: each unordered pair once,
!> G = 2 Σ_{j<k} [½(1 + λ cos θ)]^ζ exp(-η s) f_j f_k [f_jk], with s = r_j² + r_k² [+ r_jk²], [] in G4 only.
module tf_behler_triples
   use tf_kinds, only : wp, i8, lanes, padded
   use tf_cutoff, only : apply_cutoff_squared, apply_cutoff_squared_values
   use tf_vector_math, only : exponentials, whole_powers, inner_product
   use tf_behler_tables, only : angular_type, longest
   use tf_error, only : error_type, check_memory
   implicit none
   private
   public :: triples_type, triples_work_type, new_triples, new_triples_work, capacity, block_triples, finish_triples, &
      triple_values, prepare_gradient, triple_gradient

   !> A block of triples; rows are runs of triples with one j
   type :: triples_type
      integer :: n = 0, n_rows = 0
      !> The first j that is left for the next block
      integer :: next = 1
      !> cos θ; 1/(r_j r_k), 1/Å²; F = 2 f_j f_k [f_jk]; (dF/dr_jk)/r_jk, 1/Å²
      real(wp), allocatable :: cosine(:), inverse(:), weight(:), pull(:)
      !> exp(-η s), a column for each η
      real(wp), allocatable :: e(:, :)
      !> Place of k in its shell; as wide as the numbers, for vector registers
      integer(i8), allocatable :: k(:)
      !> Row by row: place of j in its shell, and its triples start(row) + 1 … start(row + 1)
      integer, allocatable :: j(:), start(:)
   end type triples_type

   !> Scratch for the functions of a block
   type :: triples_work_type
      !> [½(1 + λ cos θ)]^ζ and its derivative with respect to cos θ, a column for each (λ, ζ)
      real(wp), allocatable :: a(:, :), da(:, :)
      real(wp), allocatable :: scratch(:, :)
      !> (4, capacity) what triple_gradient found: E, cos θ dE/dcos θ, the part common to j and k, and that
      !> along the other neighbour
      real(wp), allocatable :: slope(:, :)
   end type triples_work_type

   !> A block is full with so many triples: what is worked on together stays in the cache
   integer, parameter :: block_triples = 512

contains

   !> Triples a block has room for: one more row than full
   pure integer function capacity(n_most)
      !> Most neighbours of an atom
      integer, intent(in) :: n_most

      capacity = block_triples + padded(n_most) + lanes
   end function capacity

   !> Room for a block
   subroutine new_triples(n_most, n_exponents, triples, status)
      !> Most neighbours of an atom, most η in a group
      integer, intent(in) :: n_most, n_exponents
      type(triples_type), intent(out) :: triples
      !> 0: there is room
      integer, intent(out) :: status
      integer :: n

      n = capacity(n_most)
      allocate (triples%cosine(n), triples%inverse(n), triples%weight(n), triples%pull(n), triples%e(n, n_exponents), &
         triples%k(n), triples%j(n_most), triples%start(n_most + 1), stat=status)
      ! Rows are filled in whole vectors, which read beyond their end
      if (status == 0) triples%k = 1_i8
   end subroutine new_triples

   subroutine new_triples_work(n_most, n_powers, work, error)
      !> Most neighbours of an atom, most (λ, ζ) in a group
      integer, intent(in) :: n_most, n_powers
      type(triples_work_type), intent(out) :: work
      type(error_type), allocatable, intent(inout) :: error
      integer :: n, status

      n = capacity(n_most)
      allocate (work%a(n, n_powers), work%da(n, n_powers), work%scratch(n, 4), work%slope(4, n), stat=status)
      call check_memory(status, "the scratch of descriptors", 8_i8*n*(2*n_powers + 8), error)
   end subroutine new_triples_work

   !> Cutoff functions of the third sides, and exponentials of G4 (those of G5 are products and come with the rows)
   subroutine finish_triples(angular, with_slopes, third, s, work, triples)
      type(angular_type), intent(in) :: angular
      !> Will the gradient be asked for?
      logical, intent(in) :: with_slopes
      !> r_jk² and s of each triple, Å²
      real(wp), intent(in), contiguous :: third(:), s(:)
      type(triples_work_type), intent(inout) :: work
      !> Its weight lacks the third side
      type(triples_type), intent(inout) :: triples
      integer :: n, m, i

      n = padded(triples%n)
      if (.not. angular%third_side) then
         if (with_slopes) triples%pull(:n) = 0.0_wp
         return
      end if
      if (with_slopes) then
         call apply_cutoff_squared(n, third, angular%r_cut, triples%weight, triples%pull)
      else
         call apply_cutoff_squared_values(n, third, angular%r_cut, triples%weight)
      end if
      associate (x => work%scratch(:, 1))
      do m = 1, angular%n_exponent
         if (angular%base(m) > 0) then
            call whole_powers(n, triples%e(:, angular%base(m)), angular%power(m), triples%e(:, m))
         else
            !$omp simd
            do i = 1, n
               x(i) = -angular%eta(m)*s(i)
            end do
            call exponentials(n, x, triples%e(:, m))
         end if
      end do
      end associate
   end subroutine finish_triples

   !> Add the block's share of G4 or G5 to the values
   subroutine triple_values(angular, triples, work, values)
      type(angular_type), intent(in) :: angular
      type(triples_type), intent(in) :: triples
      type(triples_work_type), intent(inout) :: work
      !> (n_feature)
      real(wp), intent(inout) :: values(:)
      real(wp) :: sums(2), lambda(2)
      integer :: n, m, f, q, both

      n = padded(triples%n)
      do q = 1, angular%n_power
         if (.not. angular%short(q)) call angular_power(n, triples%cosine, angular%lambda(q), angular%zeta(q), &
            angular%whole(q), work%scratch(:, 1), work%a(:, q))
      end do
      do m = 1, angular%n_exponent
         f = angular%first(m) + 1
         do while (f <= angular%first(m + 1))
            q = angular%column(f)
            both = 1
            if (angular%short(q)) then
               if (f < angular%first(m + 1)) both = merge(2, 1, angular%whole(angular%column(f + 1)) == angular%whole(q))
               lambda = angular%lambda(angular%column([f, f + both - 1]))
               call sum_of_powers(angular%whole(q), n, lambda, triples%weight, triples%e(:, m), triples%cosine, sums)
            else
               work%scratch(:n, 1) = triples%weight(:n)*triples%e(:n, m)
               sums(1) = inner_product(n, work%scratch(:, 1), work%a(:, q))
            end if
            do q = 1, both
               values(angular%feature(f)) = values(angular%feature(f)) + sums(q)
               f = f + 1
            end do
         end do
      end do
   end subroutine triple_values

   !> Σ F e [½(1 + λ cos θ)]^ζ for two λ and a small ζ
   pure subroutine sum_of_powers(zeta, n, lambda, weight, e, cosine, sums)
      !> One of `short_powers`; triples
      integer, intent(in) :: zeta, n
      real(wp), intent(in) :: lambda(2)
      !> F, exponentials and cosines
      real(wp), intent(in) :: weight(n), e(n), cosine(n)
      real(wp), intent(out) :: sums(2)
      real(wp) :: half1, half2, s1, s2, t, u1, u2
      integer :: i

      half1 = 0.5_wp*lambda(1)
      half2 = 0.5_wp*lambda(2)
      s1 = 0.0_wp
      s2 = 0.0_wp
      select case (zeta)
      case (1)
         !$omp simd reduction(+:s1, s2) private(t)
         do i = 1, n
            t = weight(i)*e(i)
            s1 = s1 + t*(0.5_wp + half1*cosine(i))
            s2 = s2 + t*(0.5_wp + half2*cosine(i))
         end do
      case (2)
         !$omp simd reduction(+:s1, s2) private(t, u1, u2)
         do i = 1, n
            t = weight(i)*e(i)
            u1 = 0.5_wp + half1*cosine(i)
            u2 = 0.5_wp + half2*cosine(i)
            s1 = s1 + t*(u1*u1)
            s2 = s2 + t*(u2*u2)
         end do
      case (4)
         !$omp simd reduction(+:s1, s2) private(t, u1, u2)
         do i = 1, n
            t = weight(i)*e(i)
            u1 = 0.5_wp + half1*cosine(i)
            u2 = 0.5_wp + half2*cosine(i)
            u1 = u1*u1
            u2 = u2*u2
            s1 = s1 + t*(u1*u1)
            s2 = s2 + t*(u2*u2)
         end do
      end select
      sums = [s1, s2]
   end subroutine sum_of_powers

   !> What derivatives of the functions of a group share: angular powers that are no short series
   subroutine prepare_gradient(angular, triples, work)
      type(angular_type), intent(in) :: angular
      type(triples_type), intent(in) :: triples
      type(triples_work_type), intent(inout) :: work
      integer :: m

      do m = 1, angular%n_power
         if (.not. angular%short(m)) call angular_power_slope(padded(triples%n), triples%cosine, angular%lambda(m), &
            angular%zeta(m), angular%whole(m), work%scratch(:, 1), work%a(:, m), work%da(:, m))
      end do
   end subroutine prepare_gradient

   !> Derivatives of the block's share of E = Σ g G: work%slope.  `prepare_gradient` comes first
   subroutine triple_gradient(angular, g, triples, work)
      type(angular_type), intent(in) :: angular
      !> Factor of each descriptor value
      real(wp), intent(in) :: g(:)
      type(triples_type), intent(in) :: triples
      type(triples_work_type), intent(inout) :: work
      real(wp) :: series(0:longest, 0:angular%n_exponent), factor
      integer :: n, m, f, q, together(3)

      n = padded(triples%n)
      associate (total => work%scratch(:, 1), by_cosine => work%scratch(:, 2), by_square => work%scratch(:, 3))
      total(:n) = 0.0_wp
      by_cosine(:n) = 0.0_wp
      by_square(:n) = 0.0_wp
      series = 0.0_wp
      together = 0
      do m = 1, angular%n_exponent
         do f = angular%first(m) + 1, angular%first(m + 1)
            q = angular%column(f)
            factor = g(angular%feature(f))
            if (angular%short(q)) then
               series(:, m) = series(:, m) + factor*angular%series(:, q)
            ! Single functions are asked for by force maps
            else if (abs(factor) > 0.0_wp) then
               call add_function(n, factor, angular%eta(m), triples%e(:, m), work%a(:, q), work%da(:, q), total, by_cosine, &
                  by_square)
            end if
         end do
         ! One series and two linear ones go along with the joining: fewer passes over the triples
         if (all(abs(series(2:, m)) <= 0.0_wp) .and. any(together(2:) == 0)) then
            if (any(abs(series(:, m)) > 0.0_wp)) together(1 + findloc(together(2:), 0, dim=1)) = m
         else if (together(1) == 0) then
            together(1) = m
         else
            call add_series(n, series(:, m), angular%eta(m), triples%e(:, m), triples%cosine, total, by_cosine, by_square)
         end if
      end do
      call join(angular%third_side, n, size(triples%e, 1), angular%n_exponent, together, series, angular%eta, triples%e, &
         triples%cosine, triples%weight, triples%pull, triples%inverse, total, by_cosine, by_square, work%slope)
      end associate
   end subroutine triple_gradient

   !> a = u^ζ with u = ½(1 + λ cos θ)
   pure subroutine angular_power(n, cosine, lambda, zeta, whole, u, a)
      !> Triples, their cosines, and the parameters of the function
      integer, intent(in) :: n
      real(wp), intent(in) :: cosine(n), lambda, zeta
      !> ζ if it is a small integer, else -1
      integer, intent(in) :: whole
      !> Scratch
      real(wp), intent(inout) :: u(n)
      real(wp), intent(out) :: a(n)
      integer :: i

      !$omp simd
      do i = 1, n
         u(i) = max(0.5_wp + 0.5_wp*lambda*cosine(i), 0.0_wp)
      end do
      if (whole >= 0) then
         call whole_powers(n, u, whole, a)
      else
         !$omp simd
         do i = 1, n
            a(i) = u(i)**zeta
         end do
      end if
   end subroutine angular_power

   !> The same and da/dcos θ.  Where that is singular (u = 0, ζ < 1) it is set to zero: θ is at an extremum there
   pure subroutine angular_power_slope(n, cosine, lambda, zeta, whole, u, a, da)
      !> Triples, their cosines, and the parameters of the function
      integer, intent(in) :: n
      real(wp), intent(in) :: cosine(n), lambda, zeta
      integer, intent(in) :: whole
      real(wp), intent(inout) :: u(n)
      real(wp), intent(out) :: a(n), da(n)

      ! u from a clipped cosine has an error of this order
      real(wp), parameter :: smallest = 1.0e-15_wp
      real(wp) :: factor
      integer :: i
      factor = 0.5_wp*lambda*zeta
      if (whole == 0) then
         a(:) = 1.0_wp
         da(:) = 0.0_wp
         return
      end if
      !$omp simd
      do i = 1, n
         u(i) = max(0.5_wp + 0.5_wp*lambda*cosine(i), 0.0_wp)
      end do
      if (whole > 0) then
         call whole_powers(n, u, whole - 1, da)
      else if (zeta > 1.0_wp) then
         !$omp simd
         do i = 1, n
            da(i) = u(i)**(zeta - 1.0_wp)
         end do
      else
         do i = 1, n
            da(i) = merge(0.0_wp, max(u(i), smallest)**(zeta - 1.0_wp), u(i) < smallest)
         end do
      end if
      !$omp simd
      do i = 1, n
         a(i) = u(i)*da(i)
         da(i) = factor*da(i)
      end do
   end subroutine angular_power_slope

   !> Add a function whose angular power is no short series
   pure subroutine add_function(n, g, eta, e, a, da, total, by_cosine, by_square)
      !> Triples; factor of the value, its η, exponentials, angular power and slope of that
      integer, intent(in) :: n
      real(wp), intent(in) :: g, eta, e(n), a(n), da(n)
      !> Σ g e a, Σ g e da/dcos θ, Σ g η e a
      real(wp), intent(inout) :: total(n), by_cosine(n), by_square(n)
      real(wp) :: t
      integer :: i

      !$omp simd private(t)
      do i = 1, n
         t = g*e(i)*a(i)
         total(i) = total(i) + t
         by_square(i) = by_square(i) + eta*t
         by_cosine(i) = by_cosine(i) + g*e(i)*da(i)
      end do
   end subroutine add_function

   !> Add all functions with an exponential whose angular powers are short series
   pure subroutine add_series(n, c, eta, e, cosine, total, by_cosine, by_square)
      !> Triples; series in cos θ of Σ g a, η, exponentials and cosines
      integer, intent(in) :: n
      real(wp), intent(in) :: c(0:longest), eta, e(n), cosine(n)
      !> As for `add_function`
      real(wp), intent(inout) :: total(n), by_cosine(n), by_square(n)
      real(wp) :: t, dt
      integer :: i

      !$omp simd private(t, dt)
      do i = 1, n
         call short_series(c, cosine(i), t, dt)
         total(i) = total(i) + e(i)*t
         by_square(i) = by_square(i) + eta*(e(i)*t)
         by_cosine(i) = by_cosine(i) + e(i)*dt
      end do
   end subroutine add_series

   !> Σ c_k x^k and its derivative
   pure subroutine short_series(c, x, t, dt)
      real(wp), intent(in) :: c(0:longest), x
      real(wp), intent(out) :: t, dt

      t = c(0) + x*(c(1) + x*(c(2) + x*(c(3) + x*c(4))))
      dt = c(1) + x*(2.0_wp*c(2) + x*(3.0_wp*c(3) + x*4.0_wp*c(4)))
   end subroutine short_series

   !> G4: with E = F Σ g e a, C = dE/dcos θ, X = (dE/dr_jk)/r_jk, and l = (df/dr)/(r f) of j or k,
   !> dE/dr⃗_j = (E l_j - C cos θ/r_j² + B) r⃗_j + (C/(r_j r_k) - X) r⃗_k, B = X - 2 F Σ g η e a.
   !> G5: the same without the third side
   pure subroutine join(third_side, n, n_room, n_exponent, together, c, eta, e, cosine, weight, pull, inverse, total, &
         by_cosine, by_square, slope)
      logical, intent(in) :: third_side
      !> Triples, room for them, exponents; those whose series are not in the sums yet, the last two of them linear, 0: none
      integer, intent(in) :: n, n_room, n_exponent, together(3)
      !> Series of each, η and exponentials
      real(wp), intent(in) :: c(0:longest, 0:n_exponent), eta(n_exponent), e(n_room, n_exponent)
      !> What the block has of them, and what functions have summed up for them
      real(wp), intent(in) :: cosine(n), weight(n), pull(n), inverse(n), total(n), by_cosine(n), by_square(n)
      real(wp), intent(out) :: slope(4, n)
      real(wp) :: t, dt, turn, x, spread, u, square, both
      integer :: i, m(3)

      m = max(together, 1)
      both = merge(1.0_wp, 0.0_wp, third_side)
      associate (c1 => c(:, together(1)), c2 => c(:1, together(2)), c3 => c(:1, together(3)))
      !$omp simd private(t, dt, turn, x, spread, u, square)
      do i = 1, n
         call short_series(c1, cosine(i), t, dt)
         t = e(i, m(1))*t
         dt = by_cosine(i) + e(i, m(1))*dt
         square = by_square(i) + eta(m(1))*t
         t = total(i) + t
         u = e(i, m(2))*(c2(1) + c2(2)*cosine(i))
         t = t + u
         square = square + eta(m(2))*u
         dt = dt + c2(2)*e(i, m(2))
         u = e(i, m(3))*(c3(1) + c3(2)*cosine(i))
         t = t + u
         square = square + eta(m(3))*u
         dt = dt + c3(2)*e(i, m(3))
         turn = weight(i)*dt
         spread = 2.0_wp*weight(i)*square
         x = both*(pull(i)*t - spread)
         slope(1, i) = weight(i)*t
         slope(2, i) = cosine(i)*turn
         slope(3, i) = x - spread
         slope(4, i) = turn*inverse(i) - x
      end do
      end associate
   end subroutine join

end module tf_behler_triples
