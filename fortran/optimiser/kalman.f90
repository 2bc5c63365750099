!> Extended Kalman filter with the covariance of the weights decoupled into blocks (ænet's ekf).
!>
!> Singhal, Wu, NIPS 1989; Puskorius, Feldkamp, IEEE Trans. Neural Networks 5, 279 (1994); with the forgetting
!> schedule of Blank, Brown, J. Chemometrics 8, 391 (1994).
module tf_kalman
   use tf_error, only : error_type, raise, error_size, error_value
   use tf_kinds, only : wp, i8
   implicit none
   private
   public :: kalman_step, covariance_size, check_covariance

   !> Smaller covariances are updated faster than threads are started
   integer, parameter :: parallel_from = 200000

contains

   !> Numbers in the covariances of all blocks: n weights in blocks of `width`, the last may be smaller
   pure integer(i8) function covariance_size(n, width) result(total)
      !> Weights, and weights per block
      integer, intent(in) :: n, width
      integer :: full

      full = n/width
      total = int(full, i8)*int(width, i8)**2 + int(n - full*width, i8)**2
   end function covariance_size

   !> Refuse a covariance of another size than its blocks make
   subroutine check_covariance(n_weights, width, covariance, error)
      !> Weights of all networks, and per block
      integer, intent(in) :: n_weights, width
      !> The blocks one after the other, each square
      real(wp), intent(in), contiguous :: covariance(:)
      type(error_type), allocatable, intent(inout) :: error

      if (allocated(error)) return
      if (width < 1 .or. n_weights < 1) then
         call raise(error, error_value, "blocks of the covariance must hold at least one weight")
      else if (size(covariance, kind=i8) /= covariance_size(n_weights, width)) then
         call raise(error, error_size, "the covariance has the wrong size")
      end if
   end subroutine check_covariance

   !> Correct the weights by one observed error.  In each block, with the derivative h of the prediction,
   !> A = hᵀPh + forgetting,  k = Ph/A,  w ← w + k·error,  P ← (P − k hᵀP)/forgetting + noise·1.
   !> (A is that of the block alone, as in ænet.)
   subroutine kalman_step(n, width, forgetting, noise, derivative, error, n_threads, weights, covariance)
      !> Number of weights; weights per block
      integer, intent(in) :: n, width
      !> Factor λ ≤ 1 by which older observations lose weight; noise added to each variance
      real(wp), intent(in) :: forgetting, noise
      !> Derivative of the observed quantity with respect to the weights
      real(wp), intent(in) :: derivative(n)
      !> Observed minus predicted quantity
      real(wp), intent(in) :: error
      integer, intent(in) :: n_threads
      real(wp), intent(inout) :: weights(n)
      !> As above; stays symmetric to the bit
      real(wp), intent(inout) :: covariance(covariance_size(n, width))
      integer :: b, first, m
      integer(i8) :: from

      !$omp parallel do num_threads(n_threads) if (n > width .and. size(covariance) > parallel_from) &
      !$omp& default(shared) private(first, m, from)
      do b = 1, (n + width - 1)/width
         first = (b - 1)*width + 1
         m = min(width, n - first + 1)
         from = int(b - 1, i8)*int(width, i8)**2
         call block_step(m, derivative(first), covariance(from + 1), weights(first))
      end do
      !$omp end parallel do

   contains

      subroutine block_step(m, h, p, w)
         !> Weights of the block; derivatives, covariance, weights
         integer, intent(in) :: m
         real(wp), intent(in) :: h(m)
         real(wp), intent(inout) :: p(m, m), w(m)
         real(wp) :: gain(m), a, scale, shrink
         integer :: i, j

         gain = 0.0_wp
         do j = 1, m
            gain = gain + p(:, j)*h(j)
         end do
         a = forgetting + dot_product(h, gain)
         w = w + gain*(error/a)
         scale = 1.0_wp/forgetting
         shrink = scale/a
         do j = 1, m
            do i = 1, m
               p(i, j) = scale*p(i, j) - shrink*(gain(i)*gain(j))
            end do
            p(j, j) = p(j, j) + noise
         end do
      end subroutine block_step

   end subroutine kalman_step

end module tf_kalman
