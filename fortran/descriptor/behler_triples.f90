!> Angular symmetry functions over a block of triples (centre, j, k), the triples in the vector lanes.
!>
!> G4 and G5 of Behler, J. Chem. Phys. 134, 074106 (2011), as ænet defines them: each unordered pair once,
!> G = 2 Σ_{j<k} [½(1 + λ cos θ)]^ζ exp(-η s) f_j f_k [f_jk], with s = r_j² + r_k² [+ r_jk²], [] in G4 only.
module tf_behler_triples
   use tf_kinds, only : wp, i8, lanes, padded
   use tf_cutoff, only : cosine_cutoff_squared, cosine_cutoff_squared_values
   use tf_vector_math, only : exponentials, whole_powers, inner_product
   use tf_behler_tables, only : angular_type
   use tf_error, only : error_type, check_memory
   implicit none
   private
   public :: triples_type, triples_work_type, new_triples, new_triples_work, clear, keep_inside, triple_values, &
      prepare_gradient, triple_gradient

   !> A block of triples; rows are runs of triples with one j
   type :: triples_type
      integer :: capacity = 0
      integer :: n = 0, n_rows = 0
      !> cos θ; r_jk², Å²; s, Å²; product of the cutoff functions; 1/(r_j r_k), 1/Å²
      real(wp), allocatable :: cosine(:), third(:), s(:), f(:), inverse(:)
      !> Place of k in its shell
      integer, allocatable :: k(:)
      !> Row by row: place of j in its shell, and its triples start(row) + 1 … start(row) + length(row)
      integer, allocatable :: j(:), start(:), length(:)
   end type triples_type

   !> Scratch for the functions of a block
   type :: triples_work_type
      !> exp(-η s), a column for each η
      real(wp), allocatable :: e(:, :)
      !> [½(1 + λ cos θ)]^ζ and its derivative with respect to cos θ, a column for each (λ, ζ)
      real(wp), allocatable :: a(:, :), da(:, :)
      real(wp), allocatable :: scratch(:, :)
      integer, allocatable :: at(:)
      !> (4, capacity) what triple_gradient found: E, cos θ dE/dcos θ, the part common to j and k, and that
      !> along the other neighbour
      real(wp), allocatable :: slope(:, :)
   end type triples_work_type

   ! Triples worked on together: what they need stays in the first-level cache
   integer, parameter :: block_triples = 768

contains

   !> Room for a block, and for at least one row
   subroutine new_triples(n_most, triples, error)
      !> Most neighbours of an atom
      integer, intent(in) :: n_most
      type(triples_type), intent(out) :: triples
      type(error_type), allocatable, intent(inout) :: error
      integer :: n, status

      triples%capacity = max(block_triples, padded(n_most) + lanes)
      n = triples%capacity + 2*lanes
      allocate (triples%cosine(n), triples%third(n), triples%s(n), triples%f(n), triples%inverse(n), &
         triples%k(n), triples%j(n), triples%start(n), triples%length(n), stat=status)
      call check_memory(status, "the scratch of descriptors", 56_i8*n, error)
   end subroutine new_triples

   subroutine new_triples_work(capacity, n_exponents, n_powers, work, error)
      !> Triples there is room for
      integer, intent(in) :: capacity
      !> Most η and most (λ, ζ) in a group
      integer, intent(in) :: n_exponents, n_powers
      type(triples_work_type), intent(out) :: work
      type(error_type), allocatable, intent(inout) :: error
      integer :: n, status

      n = capacity + 2*lanes
      allocate (work%e(n, n_exponents), work%a(n, n_powers), work%da(n, n_powers), work%scratch(n, 6), &
         work%slope(4, n), work%at(n), stat=status)
      call check_memory(status, "the scratch of descriptors", n*(8_i8*(n_exponents + 2*n_powers + 10) + 4), error)
   end subroutine new_triples_work

   subroutine clear(triples)
      type(triples_type), intent(inout) :: triples

      triples%n = 0
      triples%n_rows = 0
   end subroutine clear

   !> Copy the triples whose third side is shorter than the cutoff.  `worth` is false if they are nearly all;
   !> nothing is copied then, since the cutoff function is zero for the others
   subroutine keep_inside(all_triples, r_cut_squared, with_slopes, work, triples, worth)
      type(triples_type), intent(in) :: all_triples
      !> Å²
      real(wp), intent(in) :: r_cut_squared
      !> For triple_gradient: it needs more
      logical, intent(in) :: with_slopes
      type(triples_work_type), intent(inout) :: work
      type(triples_type), intent(inout) :: triples
      logical, intent(out) :: worth
      integer(i8) :: last, first
      integer :: row, i, l, n

      last = 1
      do row = 1, all_triples%n_rows
         first = last
         do i = all_triples%start(row) + 1, all_triples%start(row) + all_triples%length(row)
            work%at(last) = i
            last = last + merge(1_i8, 0_i8, all_triples%third(i) < r_cut_squared)
         end do
         triples%j(row) = all_triples%j(row)
         triples%start(row) = int(first - 1)
         triples%length(row) = int(last - first)
      end do
      triples%n = int(last - 1)
      triples%n_rows = all_triples%n_rows
      worth = 4*triples%n < 3*all_triples%n
      if (.not. worth) return
      n = padded(triples%n)
      work%at(triples%n + 1:n) = 1
      !$omp simd private(l)
      do i = 1, n
         l = work%at(i)
         triples%cosine(i) = all_triples%cosine(l)
         triples%third(i) = all_triples%third(l)
         triples%s(i) = all_triples%s(l)
         triples%f(i) = all_triples%f(l)
      end do
      triples%f(triples%n + 1:n) = 0.0_wp
      if (.not. with_slopes) return
      do i = 1, n
         l = work%at(i)
         triples%k(i) = all_triples%k(l)
         triples%inverse(i) = all_triples%inverse(l)
      end do
   end subroutine keep_inside

   !> Add the block's share of G4 or G5 to the values
   subroutine triple_values(angular, triples, work, values)
      type(angular_type), intent(in) :: angular
      type(triples_type), intent(inout) :: triples
      type(triples_work_type), intent(inout) :: work
      !> (n_feature)
      real(wp), intent(inout) :: values(:)
      integer :: n, m, f, i

      n = padded(triples%n)
      associate (w => work%scratch(:, 1), fc => work%scratch(:, 2))
      if (angular%third_side) then
         call cosine_cutoff_squared_values(n, triples%third, angular%r_cut, fc)
         triples%f(:n) = triples%f(:n)*fc(:n)
      end if
      call fill_exponentials(angular, n, triples%s, work)
      do m = 1, angular%n_power
         call angular_power(n, triples%cosine, angular%lambda(m), angular%zeta(m), angular%whole(m), w, work%a(:, m))
      end do
      do m = 1, angular%n_exponent
         !$omp simd
         do i = 1, n
            w(i) = triples%f(i)*work%e(i, m)
         end do
         do f = angular%first(m) + 1, angular%first(m + 1)
            values(angular%feature(f)) = values(angular%feature(f)) &
               + 2.0_wp*inner_product(n, w, work%a(:, angular%column(f)))
         end do
      end do
      end associate
   end subroutine triple_values

   !> What derivatives of the functions of a group share: cutoff functions, exponentials and angular powers
   subroutine prepare_gradient(angular, triples, work)
      type(angular_type), intent(in) :: angular
      type(triples_type), intent(in) :: triples
      type(triples_work_type), intent(inout) :: work
      integer :: n, m

      n = padded(triples%n)
      if (angular%third_side) call cosine_cutoff_squared(n, triples%third, angular%r_cut, work%scratch(:, 2), &
         work%scratch(:, 3))
      call fill_exponentials(angular, n, triples%s, work)
      do m = 1, angular%n_power
         call angular_power_slope(n, triples%cosine, angular%lambda(m), angular%zeta(m), angular%whole(m), &
            work%scratch(:, 1), work%a(:, m), work%da(:, m))
      end do
   end subroutine prepare_gradient

   !> Derivatives of the block's share of E = Σ g G: work%slope.  `prepare_gradient` comes first
   subroutine triple_gradient(angular, g, triples, work)
      type(angular_type), intent(in) :: angular
      !> Factor of each descriptor value
      real(wp), intent(in) :: g(:)
      type(triples_type), intent(in) :: triples
      type(triples_work_type), intent(inout) :: work
      real(wp) :: g1, g2, eta
      integer :: n, m, f, l, c1, c2

      n = padded(triples%n)
      associate (fc => work%scratch(:, 2), slope => work%scratch(:, 3), total => work%scratch(:, 4), &
            by_cosine => work%scratch(:, 5), by_square => work%scratch(:, 6))
      total(:n) = 0.0_wp
      by_cosine(:n) = 0.0_wp
      by_square(:n) = 0.0_wp
      do m = 1, angular%n_exponent
         l = angular%first(m + 1)
         eta = angular%eta(m)
         do f = angular%first(m) + 1, l, 2
            g1 = g(angular%feature(f))
            g2 = merge(g(angular%feature(min(f + 1, l))), 0.0_wp, f < l)
            ! Single functions are asked for by force maps
            if (abs(g1) <= 0.0_wp .and. abs(g2) <= 0.0_wp) cycle
            c1 = angular%column(f)
            c2 = angular%column(min(f + 1, l))
            call add_two(n, g1, g2, eta, work%e(:, m), work%a(:, c1), work%a(:, c2), work%da(:, c1), &
               work%da(:, c2), total, by_cosine, by_square)
         end do
      end do
      if (angular%third_side) then
         call join_four(n, triples%cosine, triples%f, triples%inverse, fc, slope, total, by_cosine, by_square, &
            work%slope)
      else
         call join_five(n, triples%cosine, triples%f, triples%inverse, total, by_cosine, by_square, work%slope)
      end if
      end associate
   end subroutine triple_gradient

   !> exp(-η s) of G4; those of G5 are products and come with the rows
   subroutine fill_exponentials(angular, n, s, work)
      type(angular_type), intent(in) :: angular
      !> Triples, and their sums of squared distances (Å²)
      integer, intent(in) :: n
      real(wp), intent(in) :: s(n)
      type(triples_work_type), intent(inout) :: work
      integer :: m, i

      if (.not. angular%third_side) return
      do m = 1, angular%n_exponent
         if (angular%base(m) > 0) then
            call whole_powers(n, work%e(:, angular%base(m)), angular%power(m), work%e(:, m))
         else
            !$omp simd
            do i = 1, n
               work%scratch(i, 1) = -angular%eta(m)*s(i)
            end do
            call exponentials(n, work%scratch(:, 1), work%e(:, m))
         end if
      end do
   end subroutine fill_exponentials

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

   !> Add two functions that share an exponential
   pure subroutine add_two(n, g1, g2, eta, e, a1, a2, da1, da2, total, by_cosine, by_square)
      !> Triples; factors of the two values, their eta, exponentials, angular powers and slopes of these
      integer, intent(in) :: n
      real(wp), intent(in) :: g1, g2, eta, e(n), a1(n), a2(n), da1(n), da2(n)
      !> Σ g e a, Σ g e da/dcos θ, Σ g η e a
      real(wp), intent(inout) :: total(n), by_cosine(n), by_square(n)
      real(wp) :: t
      integer :: i

      !$omp simd private(t)
      do i = 1, n
         t = e(i)*(g1*a1(i) + g2*a2(i))
         total(i) = total(i) + t
         by_square(i) = by_square(i) + eta*t
         by_cosine(i) = by_cosine(i) + e(i)*(g1*da1(i) + g2*da2(i))
      end do
   end subroutine add_two

   !> G4: with E = 2 f f_jk Σ g e a, C = dE/dcos θ, X = (dE/dr_jk)/r_jk, and l = (df/dr)/(r f) of j or k,
   !> dE/dr⃗_j = (E l_j - C cos θ/r_j² + B) r⃗_j + (C/(r_j r_k) - X) r⃗_k, B = X - 4 f f_jk Σ g η e a
   pure subroutine join_four(n, cosine, f, inverse, fc, fc_slope, total, by_cosine, by_square, slope)
      !> Triples, their geometry (see `row_geometry`), and what `add_two` has summed up for them
      integer, intent(in) :: n
      real(wp), intent(in) :: cosine(n), f(n), inverse(n), fc(n), fc_slope(n), total(n), by_cosine(n), by_square(n)
      real(wp), intent(out) :: slope(4, n)
      real(wp) :: w, c, x, spread
      integer :: i

      !$omp simd private(w, c, x, spread)
      do i = 1, n
         w = 2.0_wp*f(i)*fc(i)
         c = w*by_cosine(i)
         spread = 2.0_wp*w*by_square(i)
         x = 2.0_wp*f(i)*fc_slope(i)*total(i) - spread
         slope(1, i) = w*total(i)
         slope(2, i) = cosine(i)*c
         slope(3, i) = x - spread
         slope(4, i) = c*inverse(i) - x
      end do
   end subroutine join_four

   !> G5: the same without the third side
   pure subroutine join_five(n, cosine, f, inverse, total, by_cosine, by_square, slope)
      !> Triples, their geometry (see `row_geometry`), and what `add_two` has summed up for them
      integer, intent(in) :: n
      real(wp), intent(in) :: cosine(n), f(n), inverse(n), total(n), by_cosine(n), by_square(n)
      real(wp), intent(out) :: slope(4, n)
      real(wp) :: w, c
      integer :: i

      !$omp simd private(w, c)
      do i = 1, n
         w = 2.0_wp*f(i)
         c = w*by_cosine(i)
         slope(1, i) = w*total(i)
         slope(2, i) = cosine(i)*c
         slope(3, i) = -2.0_wp*w*by_square(i)
         slope(4, i) = c*inverse(i)
      end do
   end subroutine join_five

end module tf_behler_triples
