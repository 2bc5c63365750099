!> Derivatives of single functions of the Chebyshev descriptor, for force maps and files of derivatives.
module tf_chebyshev_functions
   use tf_kinds, only : wp, i8, lanes
   use tf_error, only : error_type, check_memory
   use tf_moments, only : angular_gradients
   use tf_chebyshev, only : chebyshev_type, chebyshev_work_type, chebyshev_scratch_type
   use tf_surroundings, only : surroundings_type
   implicit none
   private
   public :: chebyshev_gradients, radial_term_slopes

contains

   !> Derivatives of single values with respect to the vectors to the neighbours; `chebyshev_values` with slopes comes first
   subroutine chebyshev_gradients(chebyshev, feature, around, work, scratch, gradient, error)
      type(chebyshev_type), intent(in) :: chebyshev
      !> Which values
      integer, intent(in) :: feature(:)
      type(surroundings_type), intent(in) :: around
      type(chebyshev_work_type), intent(in) :: work
      type(chebyshev_scratch_type), intent(inout) :: scratch
      !> (neighbours, 3, values) added to
      real(wp), intent(inout), contiguous :: gradient(:, :, :)
      type(error_type), allocatable, intent(inout) :: error
      real(wp), allocatable :: slopes(:, :), derivative(:, :, :, :)
      real(wp) :: weight
      integer :: k, j, m, n, n_r, n_sets, half, status

      n_r = chebyshev%radial_order + 1
      half = merge(chebyshev%n_feature/2, chebyshev%n_feature, chebyshev%weighted)
      if (chebyshev%radial_cut > 0.0_wp .and. any(modulo(feature - 1, half) < n_r)) then
         allocate (slopes(around%n, 0:chebyshev%radial_order), stat=status)
         call check_memory(status, "derivatives of descriptors", 8_i8*around%n*n_r, error)
         if (allocated(error)) return
         call radial_term_slopes(around%n, n_r, around%r, chebyshev%radial_cut, work%f, work%df, slopes)
         do k = 1, size(feature)
            m = modulo(feature(k) - 1, half)
            if (m >= n_r) cycle
            do j = 1, around%n
               weight = merge(work%s(j), 1.0_wp, feature(k) > half)*slopes(j, m)/around%r(j)
               gradient(j, 1, k) = gradient(j, 1, k) + weight*around%x(j)
               gradient(j, 2, k) = gradient(j, 2, k) + weight*around%y(j)
               gradient(j, 3, k) = gradient(j, 3, k) + weight*around%z(j)
            end do
         end do
      end if
      n = work%n_angular
      if (n == 0 .or. all(modulo(feature - 1, half) < n_r)) return
      n_sets = merge(2, 1, chebyshev%weighted)
      allocate (derivative(n, 4, 0:chebyshev%angular_order, n_sets), stat=status)
      call check_memory(status, "derivatives of descriptors", 32_i8*n*(chebyshev%angular_order + 1)*n_sets, error)
      if (allocated(error)) return
      associate (ang => work%angular)
      call angular_gradients(chebyshev%tables, n, ang(1, 1), ang(1, 2), ang(1, 3), ang(1, 5), n_sets, &
         work%moments, derivative)
      do k = 1, size(feature)
         m = modulo(feature(k) - 1, half) - n_r
         if (m >= 0) call add_turned(n, size(ang, 1), ang, work%at, feature(k) > half, &
            derivative(:, :, m, merge(2, 1, feature(k) > half)), size(gradient, 1), gradient(:, :, k))
      end do
      end associate
   end subroutine chebyshev_gradients

   !> From unit vectors and cutoff functions to vectors
   pure subroutine add_turned(n, n_row, ang, at, weighted, d, n_all, gradient)
      !> Neighbours inside the angular cutoff (padded), rows of `ang`, and all neighbours
      integer, intent(in) :: n, n_row, n_all
      !> As in `chebyshev_work_type`
      real(wp), intent(in) :: ang(n_row, 7)
      integer, intent(in) :: at(n)
      logical, intent(in) :: weighted
      !> From `angular_gradients`; overwritten
      real(wp), intent(inout) :: d(n, 4)
      real(wp), intent(inout) :: gradient(n_all, 3)
      real(wp) :: weight, inverse, along, slope
      integer :: j

      !$omp simd private(weight, inverse, along, slope)
      do j = 1, n
         weight = merge(ang(j, 7), 1.0_wp, weighted)
         inverse = 1.0_wp/ang(j, 4)
         along = d(j, 2)*ang(j, 1) + d(j, 3)*ang(j, 2) + d(j, 4)*ang(j, 3)
         slope = (d(j, 1) - weight*ang(j, 5))*ang(j, 6) - along*inverse
         d(j, 2) = weight*(slope*ang(j, 1) + inverse*d(j, 2))
         d(j, 3) = weight*(slope*ang(j, 2) + inverse*d(j, 3))
         d(j, 4) = weight*(slope*ang(j, 3) + inverse*d(j, 4))
      end do
      do j = 1, n
         if (at(j) == 0) exit
         gradient(at(j), 1) = gradient(at(j), 1) + d(j, 2)
         gradient(at(j), 2) = gradient(at(j), 2) + d(j, 3)
         gradient(at(j), 3) = gradient(at(j), 3) + d(j, 4)
      end do
   end subroutine add_turned

   !> d/dr of f_c(r) T_n(2r/r_cut - 1), n = 0 … n_r - 1; dT_n/dx = n U_{n-1}
   pure subroutine radial_term_slopes(n, n_r, r, r_cut, f, df, slopes)
      !> Neighbours and functions
      integer, intent(in) :: n, n_r
      !> Distances and cutoff (Å)
      real(wp), intent(in) :: r(n), r_cut
      !> Cutoff function and its derivative (1/Å) there
      real(wp), intent(in) :: f(n), df(n)
      real(wp), intent(out) :: slopes(n, n_r)
      ! 2x; T_n and T_{n+1}; U_{n-1} and U_n; 2 f_c/r_cut, df_c/dr
      real(wp), dimension(lanes) :: x2, t, t_next, u, u_next, cut, cut_slope, slope
      real(wp) :: swap
      integer :: m, j, first, width

      ! So few neighbours at a time that all stays in registers
      do first = 0, n - 1, lanes
         width = min(lanes, n - first)
         x2 = 0.0_wp
         cut = 0.0_wp
         cut_slope = 0.0_wp
         do j = 1, width
            x2(j) = 4.0_wp*r(first + j)/r_cut - 2.0_wp
            cut(j) = 2.0_wp*f(first + j)/r_cut
            cut_slope(j) = df(first + j)
         end do
         t = 1.0_wp
         t_next = 0.5_wp*x2
         u = 0.0_wp
         u_next = 1.0_wp
         do m = 0, n_r - 1
            !$omp simd private(swap)
            do j = 1, lanes
               slope(j) = cut_slope(j)*t(j) + m*cut(j)*u(j)
               swap = x2(j)*t_next(j) - t(j)
               t(j) = t_next(j)
               t_next(j) = swap
               swap = x2(j)*u_next(j) - u(j)
               u(j) = u_next(j)
               u_next(j) = swap
            end do
            if (width == lanes) then
               slopes(first + 1:first + lanes, m + 1) = slope
            else
               slopes(first + 1:first + width, m + 1) = slope(:width)
            end if
         end do
      end do
   end subroutine radial_term_slopes

end module tf_chebyshev_functions
