!> Derivatives of single functions of the Chebyshev descriptor, for force maps and files of derivatives.
module tf_chebyshev_functions
   use tf_kinds, only : wp, i8
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
      real(wp), intent(inout) :: gradient(:, :, :)
      type(error_type), allocatable, intent(inout) :: error
      real(wp) :: slopes(0:chebyshev%radial_order), weight
      real(wp), allocatable :: part(:, :, :), derivative(:, :, :, :)
      integer :: k, j, m, n, n_r, half, status

      n_r = chebyshev%radial_order + 1
      half = merge(chebyshev%n_feature/2, chebyshev%n_feature, chebyshev%weighted)
      if (chebyshev%radial_cut > 0.0_wp .and. any(modulo(feature - 1, half) < n_r)) then
         do j = 1, around%n
            call radial_term_slopes(around%r(j), chebyshev%radial_cut, work%f(j), work%df(j), slopes)
            do k = 1, size(feature)
               m = modulo(feature(k) - 1, half)
               if (m >= n_r) cycle
               weight = merge(work%s(j), 1.0_wp, feature(k) > half)*slopes(m)/around%r(j)
               gradient(j, :, k) = gradient(j, :, k) + weight*[around%x(j), around%y(j), around%z(j)]
            end do
         end do
      end if
      n = work%n_angular
      if (n == 0 .or. all(modulo(feature - 1, half) < n_r)) return
      allocate (part(n, 4, 0:chebyshev%angular_order), derivative(n, 4, 0:chebyshev%angular_order, 2), &
         stat=status)
      call check_memory(status, "derivatives of descriptors", 96_i8*n*(chebyshev%angular_order + 1), error)
      if (allocated(error)) return
      associate (ang => work%angular)
      do k = 1, merge(2, 1, chebyshev%weighted)
         call angular_gradients(chebyshev%tables, n, ang(1, 1), ang(1, 2), ang(1, 3), ang(1, 5), scratch%moments, &
            work%moments(:, :, k), part, derivative(:, :, :, k))
      end do
      do k = 1, size(feature)
         m = modulo(feature(k) - 1, half) - n_r
         if (m >= 0) call add_turned(merge(2, 1, feature(k) > half), derivative(:, :, m, merge(2, 1, feature(k) > half)), &
            gradient(:, :, k))
      end do
      end associate

   contains

      !> From unit vectors and cutoff functions to vectors
      subroutine add_turned(which, d, gradient)
         !> 1: plain; 2: weighted
         integer, intent(in) :: which
         real(wp), intent(in) :: d(:, :)
         real(wp), intent(inout) :: gradient(:, :)
         real(wp) :: weight, inverse, along, slope
         integer :: j, at

         associate (ang => work%angular)
         do j = 1, n
            at = work%at(j)
            if (at == 0) exit
            weight = merge(1.0_wp, ang(j, 7), which == 1)
            inverse = 1.0_wp/ang(j, 4)
            along = d(j, 2)*ang(j, 1) + d(j, 3)*ang(j, 2) + d(j, 4)*ang(j, 3)
            slope = (d(j, 1) - weight*ang(j, 5))*ang(j, 6) - along*inverse
            gradient(at, :) = gradient(at, :) + weight*(slope*ang(j, 1:3) + inverse*d(j, 2:4))
         end do
         end associate
      end subroutine add_turned

   end subroutine chebyshev_gradients

   !> d/dr of f_c(r) T_n(2r/r_cut - 1), n = 0, 1, …, one by one; dT_n/dx = n U_{n-1}
   pure subroutine radial_term_slopes(r, r_cut, f, df, slopes)
      !> Distance and cutoff (Å)
      real(wp), intent(in) :: r, r_cut
      !> Cutoff function and its derivative (1/Å) there
      real(wp), intent(in) :: f, df
      real(wp), intent(out) :: slopes(0:)
      real(wp) :: x, t, t_next, u, u_next, swap
      integer :: n

      x = 2.0_wp*r/r_cut - 1.0_wp
      ! T_n and T_{n+1}; U_{n-1} and U_n
      t = 1.0_wp
      t_next = x
      u = 0.0_wp
      u_next = 1.0_wp
      do n = 0, ubound(slopes, 1)
         slopes(n) = df*t + f*n*u*2.0_wp/r_cut
         swap = 2.0_wp*x*t_next - t
         t = t_next
         t_next = swap
         swap = 2.0_wp*x*u_next - u
         u = u_next
         u_next = swap
      end do
   end subroutine radial_term_slopes

end module tf_chebyshev_functions
