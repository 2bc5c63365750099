!> Damped least-squares step of Levenberg and Marquardt.
!>
!> For residuals r_s = y_s − f_s(w) and J = df/dw (n_weights × n_residuals) the step δ solves
!> (J Jᵀ + λ 1) δ = J r.  With fewer residuals than weights the same δ is J (Jᵀ J + λ 1)⁻¹ r, so that the
!> smaller of the two matrices is factorised (Marquardt, J. SIAM 11, 431 (1963)).
module tf_levenberg_marquardt
   use tf_kinds, only : wp, i8
   use tf_error, only : error_type, check_memory, keep_first
   use tf_blas, only : dgemm, dpotrf, dpotrs
   implicit none
   private
   public :: normal_matrix, damped_step

   !> Columns of the normal matrix that one thread computes at a time
   integer, parameter :: strip = 96

contains

   !> Jᵀ J or J Jᵀ, whichever is smaller: its lower triangle; the same bits for any number of threads
   subroutine normal_matrix(jacobian, n_threads, normal, error)
      !> (n_weights, n_residuals)
      real(wp), intent(in), contiguous :: jacobian(:, :)
      integer, intent(in) :: n_threads
      !> (n, n) with n the smaller extent of the Jacobian
      real(wp), intent(inout) :: normal(:, :)
      type(error_type), allocatable, intent(inout) :: error
      real(wp), allocatable :: transposed(:, :)
      integer :: status

      if (size(jacobian, 2) < size(jacobian, 1)) then
         call square(jacobian, n_threads, normal, error)
      else
         allocate (transposed(size(jacobian, 2), size(jacobian, 1)), stat=status)
         call check_memory(status, "the transposed Jacobian of a batch", 8_i8*size(jacobian, kind=i8), error)
         if (allocated(error)) return
         transposed = transpose(jacobian)
         call square(transposed, n_threads, normal, error)
      end if
   end subroutine normal_matrix

   !> Lower triangle of aᵀ a, strip by strip
   subroutine square(a, n_threads, c, error)
      !> (k, n)
      real(wp), intent(in), contiguous :: a(:, :)
      integer, intent(in) :: n_threads
      !> (n, n)
      real(wp), intent(inout) :: c(:, :)
      type(error_type), allocatable, intent(inout) :: error
      type(error_type), allocatable :: error_here
      real(wp), allocatable :: part(:, :)
      integer :: k, n, first, last, failed, status

      failed = 0
      k = size(a, 1)
      n = size(a, 2)
      !$omp parallel do num_threads(n_threads) if (n > strip) schedule(dynamic) default(shared) &
      !$omp& private(last, part, status, error_here)
      do first = 1, n, strip
         last = min(first + strip - 1, n)
         allocate (part(n - first + 1, last - first + 1), stat=status)
         if (status /= 0) then
            call check_memory(status, "a strip of the normal matrix", 8_i8*(n - first + 1)*(last - first + 1), error_here)
            call keep_first(first, error_here, failed, error)
            cycle
         end if
         call dgemm("T", "N", n - first + 1, last - first + 1, k, 1.0_wp, a(:, first:), k, a(:, first:), k, &
            0.0_wp, part, n - first + 1)
         c(first:, first:last) = part
         deallocate (part)
      end do
      !$omp end parallel do
   end subroutine square

   !> The step δ for one damping λ
   subroutine damped_step(jacobian, residual, normal, damping, step, solved, error)
      !> (n_weights, n_residuals)
      real(wp), intent(in), contiguous :: jacobian(:, :)
      !> (n_residuals) reference minus prediction
      real(wp), intent(in) :: residual(:)
      !> From `normal_matrix`
      real(wp), intent(in) :: normal(:, :)
      real(wp), intent(in) :: damping
      !> (n_weights) to be added to the weights; zero if not solved
      real(wp), intent(out) :: step(:)
      !> False if the damped matrix is not positive definite to rounding: more damping is needed
      logical, intent(out) :: solved
      type(error_type), allocatable, intent(inout) :: error
      real(wp), allocatable :: factor(:, :), x(:, :)
      integer :: i, n, info, status

      step = 0.0_wp
      solved = .false.
      n = size(normal, 1)
      allocate (factor(n, n), x(n, 1), stat=status)
      call check_memory(status, "the factorised normal matrix", 8_i8*n*(n + 1_i8), error)
      if (allocated(error)) return
      factor = normal
      do i = 1, n
         factor(i, i) = factor(i, i) + damping
      end do
      call dpotrf("L", n, factor, n, info)
      solved = info == 0
      if (.not. solved) return
      if (size(jacobian, 2) < size(jacobian, 1)) then
         x(:, 1) = residual
         call dpotrs("L", n, 1, factor, n, x, n, info)
         do i = 1, size(jacobian, 2)
            step = step + jacobian(:, i)*x(i, 1)
         end do
      else
         x = 0.0_wp
         do i = 1, size(jacobian, 2)
            x(:, 1) = x(:, 1) + jacobian(:, i)*residual(i)
         end do
         call dpotrs("L", n, 1, factor, n, x, n, info)
         step = x(:, 1)
      end if
      solved = info == 0 .and. all(abs(step) <= huge(1.0_wp))
   end subroutine damped_step

end module tf_levenberg_marquardt
