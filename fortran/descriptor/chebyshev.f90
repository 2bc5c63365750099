!> Chebyshev descriptor (N. Artrith, A. Urban, G. Ceder, Phys. Rev. B 96, 014112 (2017)).
!>
!> Radial c_n = Σ_j f_c(r_j) T_n(2 r_j/R_r - 1) and angular a_m = Σ_{j<k} f_c(r_j) f_c(r_k) T_m(cos θ_jk);
!> for two or more environment species both again with every neighbour weighted by its species' s_j.
!> Order of the values: c, a, c weighted, a weighted (ænet).
module tf_chebyshev
   use tf_kinds, only : wp, padded, i8
   use tf_cutoff, only : cosine_cutoff, cosine_cutoff_values
   use tf_vector_math, only : chebyshev_series
   use tf_moments, only : moment_tables_type, new_moment_tables, angular_sums, angular_gradient, &
      n_moments, max_angular_order
   use tf_surroundings, only : surroundings_type
   use tf_error, only : error_type, raise, check_memory, error_value
   implicit none
   private
   public :: chebyshev_type, new_chebyshev, chebyshev_values, chebyshev_gradient
   public :: chebyshev_work_type, new_chebyshev_work, chebyshev_scratch_type, new_chebyshev_scratch

   integer, parameter :: max_radial_order = 400
   ! Orders per pass over the neighbours
   integer, parameter :: orders = 4

   !> Parameters of one central species
   type :: chebyshev_type
      real(wp) :: radial_cut = 0.0_wp, angular_cut = 0.0_wp
      integer :: radial_order = 0, angular_order = 0
      !> Two or more environment species: also the weighted half
      logical :: weighted = .false.
      !> (0:n_species) weight of each species; 0 for padding
      real(wp), allocatable :: weight(:)
      type(moment_tables_type) :: tables
      integer :: n_feature = 0
   end type chebyshev_type

   !> What the values of one atom leave behind for its gradient
   type :: chebyshev_work_type
      !> Radial cutoff function, its derivative (1/Å), and weight of each neighbour
      real(wp), allocatable :: f(:), df(:), s(:)
      !> Neighbours inside the angular cutoff, padded
      integer :: n_angular = 0
      !> Which neighbours they are; 0 for padding
      integer, allocatable :: at(:)
      !> Their unit vectors (columns 1..3), distance (4), cutoff function (5), its derivative (6), weight (7)
      real(wp), allocatable :: angular(:, :)
      !> (2, n_moments, 2) plain and weighted moments
      real(wp), allocatable :: moments(:, :, :)
   end type chebyshev_work_type

   !> Scratch for one thread
   type :: chebyshev_scratch_type
      real(wp), allocatable :: t(:, :), moments(:, :), slope(:), derivative(:, :)
   end type chebyshev_scratch_type

contains

   subroutine new_chebyshev(parameters, environment, chebyshev, error)
      !> Radial cutoff (Å) and order, angular cutoff (Å) and order
      real(wp), intent(in) :: parameters(4)
      !> (n_species) place of each species in the ENV list, 0 if absent
      integer, intent(in) :: environment(:)
      type(chebyshev_type), intent(out) :: chebyshev
      type(error_type), allocatable, intent(inout) :: error
      integer :: n, t, status

      chebyshev%radial_cut = parameters(1)
      chebyshev%angular_cut = parameters(3)
      if (.not. (chebyshev%radial_cut >= 0.0_wp) .or. .not. (chebyshev%angular_cut >= 0.0_wp) .or. &
         .not. (maxval(parameters([1, 3])) > 0.0_wp) .or. .not. (maxval(parameters([1, 3])) < 1.0e4_wp)) then
         call raise(error, error_value, "Chebyshev cutoffs must be non-negative and one of them positive")
         return
      end if
      if (.not. (abs(parameters(2) - 0.5_wp*max_radial_order) <= 0.5_wp*max_radial_order) .or. &
         .not. (abs(parameters(4) - 0.5_wp*max_angular_order) <= 0.5_wp*max_angular_order)) then
         call raise(error, error_value, "Chebyshev orders must lie between 0 and 400 (radial) and 0 and 60 (angular)")
         return
      end if
      chebyshev%radial_order = nint(parameters(2))
      chebyshev%angular_order = nint(parameters(4))
      n = maxval(environment)
      chebyshev%weighted = n > 1
      allocate (chebyshev%weight(0:size(environment)), source=0.0_wp, stat=status)
      call check_memory(status, "weights of species", 8_i8*(size(environment) + 1), error)
      if (allocated(error)) return
      if (chebyshev%weighted) then
         do t = 1, size(environment)
            if (environment(t) > 0) chebyshev%weight(t) = species_weight(environment(t), n)
         end do
      end if
      call new_moment_tables(chebyshev%angular_order, chebyshev%tables, error)
      chebyshev%n_feature = (chebyshev%radial_order + chebyshev%angular_order + 2)*merge(2, 1, n > 1)
   end subroutine new_chebyshev

   !> Weights are the integers from -⌊n/2⌋, without 0 if n is even
   pure real(wp) function species_weight(place, n)
      !> Place in the ENV list, from 1, and its length
      integer, intent(in) :: place, n
      integer :: s

      s = place - 1 - n/2
      if (mod(n, 2) == 0 .and. s >= 0) s = s + 1
      species_weight = real(s, wp)
   end function species_weight

   !> Room for up to n_most neighbours and angular orders up to the given one
   subroutine new_chebyshev_work(n_most, angular_order, work, error)
      integer, intent(in) :: n_most, angular_order
      type(chebyshev_work_type), intent(out) :: work
      type(error_type), allocatable, intent(inout) :: error
      integer :: n, status

      n = max(padded(n_most), padded(1))
      allocate (work%f(n), work%df(n), work%s(n), work%angular(n, 7), work%at(n + 1), &
         work%moments(2, n_moments(angular_order), 2), stat=status)
      call check_memory(status, "the scratch of descriptors", 84_i8*n + 32_i8*n_moments(angular_order), error)
   end subroutine new_chebyshev_work

   subroutine new_chebyshev_scratch(n_most, scratch, error)
      !> Largest number of neighbours
      integer, intent(in) :: n_most
      type(chebyshev_scratch_type), intent(out) :: scratch
      type(error_type), allocatable, intent(inout) :: error
      integer :: n, status

      n = max(padded(n_most), padded(1))
      allocate (scratch%t(n, 3), scratch%moments(n, 6), scratch%slope(n), scratch%derivative(n, 4), stat=status)
      call check_memory(status, "the scratch of descriptors", 112_i8*n, error)
   end subroutine new_chebyshev_scratch

   !> Values of the descriptor of one atom
   subroutine chebyshev_values(chebyshev, around, with_slopes, work, scratch, values)
      type(chebyshev_type), intent(in) :: chebyshev
      type(surroundings_type), intent(in) :: around
      !> Will the gradient be asked for?
      logical, intent(in) :: with_slopes
      type(chebyshev_work_type), intent(inout) :: work
      type(chebyshev_scratch_type), intent(inout) :: scratch
      real(wp), intent(out) :: values(chebyshev%n_feature)
      integer :: n_r, n_a, n, half, j

      n_r = chebyshev%radial_order + 1
      n_a = chebyshev%angular_order + 1
      half = merge(chebyshev%n_feature/2, 0, chebyshev%weighted)
      n = around%n_padded
      values = 0.0_wp
      work%n_angular = 0
      if (n == 0) return
      do j = 1, n
         work%s(j) = chebyshev%weight(around%species(j))
      end do
      if (chebyshev%radial_cut > 0.0_wp) then
         if (with_slopes) then
            call cosine_cutoff(n, around%r, chebyshev%radial_cut, work%f, work%df)
         else
            call cosine_cutoff_values(n, around%r, chebyshev%radial_cut, work%f)
         end if
         call radial_sums(n, n_r, around%r, chebyshev%radial_cut, work%f, work%s, chebyshev%weighted, scratch%t, &
            values(1:n_r), values(half + 1:half + n_r))
      end if
      if (chebyshev%angular_cut <= 0.0_wp) return
      call select_angular(chebyshev, around, work)
      n = work%n_angular
      if (n == 0) return
      associate (ang => work%angular)
      if (with_slopes) then
         call cosine_cutoff(n, ang(1, 4), chebyshev%angular_cut, ang(1, 5), ang(1, 6))
      else
         call cosine_cutoff_values(n, ang(1, 4), chebyshev%angular_cut, ang(1, 5))
      end if
      call angular_sums(chebyshev%tables, n, ang(1, 1), ang(1, 2), ang(1, 3), ang(1, 5), ang(1, 7), &
         chebyshev%weighted, scratch%moments, work%moments(:, :, 1), work%moments(:, :, 2), &
         values(n_r + 1:n_r + n_a), values(half + n_r + 1:half + n_r + n_a))
      end associate
   end subroutine chebyshev_values

   !> Derivative of Σ_f g_f G_f with respect to the vectors to the neighbours, added to around%gx, gy, gz;
   !> `chebyshev_values` with slopes comes first
   subroutine chebyshev_gradient(chebyshev, g, around, work, scratch)
      type(chebyshev_type), intent(in) :: chebyshev
      !> Factor of each descriptor value
      real(wp), intent(in) :: g(chebyshev%n_feature)
      type(surroundings_type), intent(inout) :: around
      type(chebyshev_work_type), intent(in) :: work
      type(chebyshev_scratch_type), intent(inout) :: scratch
      real(wp) :: slope, along, inverse
      logical :: radial
      integer :: n_r, n_a, n, half, j, k

      n_r = chebyshev%radial_order + 1
      n_a = chebyshev%angular_order + 1
      half = merge(chebyshev%n_feature/2, 0, chebyshev%weighted)
      n = around%n_padded
      if (n == 0) return
      ! Force maps ask for one function at a time
      radial = .not. (all(abs(g(1:n_r)) <= 0.0_wp) .and. all(abs(g(half + 1:half + n_r)) <= 0.0_wp))
      if (chebyshev%radial_cut > 0.0_wp .and. radial) then
         call radial_slopes(n, n_r, around%r, chebyshev%radial_cut, work%f, work%df, work%s, chebyshev%weighted, &
            g(1:n_r), g(half + 1:half + n_r), scratch%t, scratch%slope)
         !$omp simd private(slope)
         do j = 1, n
            slope = scratch%slope(j)/around%r(j)
            around%gx(j) = around%gx(j) + slope*around%x(j)
            around%gy(j) = around%gy(j) + slope*around%y(j)
            around%gz(j) = around%gz(j) + slope*around%z(j)
         end do
      end if
      n = work%n_angular
      if (n == 0) return
      associate (ang => work%angular, d => scratch%derivative)
      call angular_gradient(chebyshev%tables, n, ang(1, 1), ang(1, 2), ang(1, 3), ang(1, 5), ang(1, 7), &
         chebyshev%weighted, work%moments(:, :, 1), work%moments(:, :, 2), &
         g(n_r + 1:n_r + n_a), g(half + n_r + 1:half + n_r + n_a), d(1, 1), d(1, 2), d(1, 3), d(1, 4))
      do j = 1, n
         k = work%at(j)
         if (k == 0) exit
         ! Only the part of the derivative across the bond turns the unit vector
         inverse = 1.0_wp/ang(j, 4)
         along = d(j, 2)*ang(j, 1) + d(j, 3)*ang(j, 2) + d(j, 4)*ang(j, 3)
         slope = d(j, 1)*ang(j, 6) - along*inverse
         around%gx(k) = around%gx(k) + slope*ang(j, 1) + d(j, 2)*inverse
         around%gy(k) = around%gy(k) + slope*ang(j, 2) + d(j, 3)*inverse
         around%gz(k) = around%gz(k) + slope*ang(j, 3) + d(j, 4)*inverse
      end do
      end associate
   end subroutine chebyshev_gradient

   !> Collect the neighbours inside the angular cutoff
   subroutine select_angular(chebyshev, around, work)
      type(chebyshev_type), intent(in) :: chebyshev
      type(surroundings_type), intent(in) :: around
      type(chebyshev_work_type), intent(inout) :: work
      integer :: j, n

      n = 0
      do j = 1, around%n
         work%at(n + 1) = j
         n = n + merge(1, 0, around%r(j) < chebyshev%angular_cut)
      end do
      call take_unit_vectors(n, size(around%x), work%at, around%x, around%y, around%z, around%r, work%s, &
         size(work%angular, 1), work%angular)
      work%n_angular = padded(n)
      do j = n + 1, work%n_angular
         work%at(j) = 0
         work%angular(j, 1) = 1.0_wp
         work%angular(j, 2) = 0.0_wp
         work%angular(j, 3) = 0.0_wp
         work%angular(j, 4) = 2.0_wp*chebyshev%angular_cut  ! outside: the cutoff function is zero
         work%angular(j, 7) = 0.0_wp
      end do
   end subroutine select_angular

   !> Unit vectors, distance, and weight of the n neighbours listed in `at`
   pure subroutine take_unit_vectors(n, n_all, at, x, y, z, r, s, n_row, angular)
      !> Neighbours inside the angular cutoff, all of them, rows of `angular`
      integer, intent(in) :: n, n_all, n_row
      integer, intent(in) :: at(n)
      real(wp), intent(in) :: x(n_all), y(n_all), z(n_all), r(n_all), s(n_all)
      real(wp), intent(inout) :: angular(n_row, 7)
      real(wp) :: inverse
      integer :: j, k

      !$omp simd private(k, inverse)
      do j = 1, n
         k = at(j)
         inverse = 1.0_wp/r(k)
         angular(j, 1) = x(k)*inverse
         angular(j, 2) = y(k)*inverse
         angular(j, 3) = z(k)*inverse
         angular(j, 4) = r(k)
         angular(j, 7) = s(k)
      end do
   end subroutine take_unit_vectors

   !> c_n = Σ_j f_j T_n(x_j), n = 0 … n_r - 1, plain and weighted with s_j; x = 2r/r_cut - 1
   pure subroutine radial_sums(n, n_r, r, r_cut, f, s, weighted, t, c, c_weighted)
      !> Neighbours (padded) and functions; distances, cutoff (Å), cutoff function and weight of each
      integer, intent(in) :: n, n_r
      real(wp), intent(in) :: r(n), r_cut, f(n), s(n)
      logical, intent(in) :: weighted
      !> Scratch
      real(wp), intent(inout) :: t(n, 3)
      real(wp), intent(out) :: c(n_r)
      real(wp), intent(inout) :: c_weighted(n_r)
      real(wp) :: a(orders), b(orders), a1, a2, a3, a4, b1, b2, b3, b4, t1, t2, t3, t4, x2
      integer :: j, k, m

      ! Columns: 2x, and f·T of the two orders before the current four; T_{-n} = T_n starts the recurrence
      !$omp simd
      do j = 1, n
         t(j, 1) = 4.0_wp*min(r(j)/r_cut, 1.0_wp) - 2.0_wp
         t(j, 2) = 0.5_wp*f(j)*t(j, 1)
         t(j, 3) = t(j, 1)*t(j, 2) - f(j)
      end do
      do k = 0, n_r - 1, orders
         a1 = 0.0_wp; a2 = 0.0_wp; a3 = 0.0_wp; a4 = 0.0_wp
         b1 = 0.0_wp; b2 = 0.0_wp; b3 = 0.0_wp; b4 = 0.0_wp
         if (weighted) then
            !$omp simd reduction(+:a1, a2, a3, a4, b1, b2, b3, b4) private(t1, t2, t3, t4, x2)
            do j = 1, n
               x2 = t(j, 1)
               t1 = x2*t(j, 2) - t(j, 3)
               t2 = x2*t1 - t(j, 2)
               t3 = x2*t2 - t1
               t4 = x2*t3 - t2
               t(j, 3) = t3
               t(j, 2) = t4
               a1 = a1 + t1
               a2 = a2 + t2
               a3 = a3 + t3
               a4 = a4 + t4
               b1 = b1 + s(j)*t1
               b2 = b2 + s(j)*t2
               b3 = b3 + s(j)*t3
               b4 = b4 + s(j)*t4
            end do
         else
            !$omp simd reduction(+:a1, a2, a3, a4) private(t1, t2, t3, t4, x2)
            do j = 1, n
               x2 = t(j, 1)
               t1 = x2*t(j, 2) - t(j, 3)
               t2 = x2*t1 - t(j, 2)
               t3 = x2*t2 - t1
               t4 = x2*t3 - t2
               t(j, 3) = t3
               t(j, 2) = t4
               a1 = a1 + t1
               a2 = a2 + t2
               a3 = a3 + t3
               a4 = a4 + t4
            end do
         end if
         a = [a1, a2, a3, a4]
         m = min(orders, n_r - k)
         c(k + 1:k + m) = a(:m)
         if (.not. weighted) cycle
         b = [b1, b2, b3, b4]
         c_weighted(k + 1:k + m) = b(:m)
      end do
   end subroutine radial_sums

   !> slope_j = d/dr of f_j Σ_n (g_n + s_j g^w_n) T_n(x_j)
   pure subroutine radial_slopes(n, n_r, r, r_cut, f, df, s, weighted, g, g_weighted, t, slope)
      !> As for `radial_sums`, with the derivative of the cutoff function (1/Å)
      integer, intent(in) :: n, n_r
      real(wp), intent(in) :: r(n), r_cut, f(n), df(n), s(n)
      logical, intent(in) :: weighted
      real(wp), intent(in) :: g(n_r), g_weighted(n_r)
      !> Scratch
      real(wp), intent(inout) :: t(n, 3)
      real(wp), intent(out) :: slope(n)
      real(wp) :: p(0:n_r), p_w(0:n_r)
      integer :: j

      ! The highest order is even, maybe with a coefficient of zero
      p = 0.0_wp
      p_w = 0.0_wp
      p(:n_r - 1) = g
      if (weighted) p_w(:n_r - 1) = g_weighted
      !$omp simd
      do j = 1, n
         t(j, 1) = 4.0_wp*min(r(j)/r_cut, 1.0_wp) - 2.0_wp
      end do
      call chebyshev_series(n, n_r - modulo(n_r, 2), t(:, 1), s, p, p_w, t(:, 2), t(:, 3))
      !$omp simd
      do j = 1, n
         slope(j) = df(j)*t(j, 2) + (2.0_wp/r_cut)*f(j)*t(j, 3)
      end do
   end subroutine radial_slopes

end module tf_chebyshev
