!> What Python sees of L-BFGS, of a step of Adam and of single kernels.  The rules of tf_api_structures hold here too.
module tf_api_optimisers
   use, intrinsic :: iso_c_binding, only : c_f_pointer
   use tf_kinds, only : wp, i8
   use tf_activation, only : activate, n_activation
   use tf_adam, only : adam_step
   use tf_blas, only : dgemm, blas_name
   use tf_dense, only : add_product, add_outer_product
   use tf_error, only : error_type, raise, report, error_size, error_value
   use tf_lbfgs, only : lbfgs_type, lbfgs_step, n_lbfgs_integers, n_lbfgs_reals
   use tf_views, only : at, check_views
   implicit none
   private
   public :: lbfgs_handle, lbfgs_sizes, lbfgs_fill, lbfgs_next, adam_move, activation, panel_products, blas_product, blas_library

   !> The optimiser
   type :: lbfgs_handle
      private
      type(lbfgs_type) :: state
      logical :: filled = .false.
   end type lbfgs_handle

contains

   !> \brief Lengths of the integer and real state of the optimiser.
   subroutine lbfgs_sizes(n_integers, n_reals)
      !> Length of the state in integers
      integer, intent(out) :: n_integers
      !> Length of the state in reals
      integer, intent(out) :: n_reals

      n_integers = n_lbfgs_integers
      n_reals = n_lbfgs_reals
   end subroutine lbfgs_sizes

   !> \brief View the arrays that hold the state of the optimiser.
   subroutine lbfgs_fill(self, views)
      type(lbfgs_handle), intent(inout) :: self
      !> The arrays of `lbfgs_type`, in its order
      integer(i8), intent(in), contiguous :: views(:, :)
      type(error_type), allocatable :: error
      integer :: n, m

      call check_views(views, 9, error)
      if (.not. allocated(error)) then
         associate (s => self%state)
            call c_f_pointer(at(views, 1), s%x, views(2:2, 1))
            call c_f_pointer(at(views, 2), s%s, views(2:3, 2))
            call c_f_pointer(at(views, 3), s%y, views(2:3, 3))
            call c_f_pointer(at(views, 4), s%rho, views(2:2, 4))
            call c_f_pointer(at(views, 5), s%x_start, views(2:2, 5))
            call c_f_pointer(at(views, 6), s%g_start, views(2:2, 6))
            call c_f_pointer(at(views, 7), s%direction, views(2:2, 7))
            call c_f_pointer(at(views, 8), s%reals, views(2:2, 8))
            call c_f_pointer(at(views, 9), s%integers, views(2:2, 9))
            n = size(s%x)
            m = size(s%rho)
            if (m < 1 .or. any(shape(s%s) /= [n, m]) .or. any(shape(s%y) /= [n, m]) .or. size(s%x_start) /= n .or. &
               size(s%g_start) /= n .or. size(s%direction) /= n .or. size(s%reals) /= n_lbfgs_reals .or. &
               size(s%integers) /= n_lbfgs_integers) then
              call raise(error, error_size, "arrays of the optimiser have the wrong size")
            end if
         end associate
      end if
      self%filled = .not. allocated(error)
      call report(error)
   end subroutine lbfgs_fill

   !> \brief One step of L-BFGS by reverse communication: x moves on to where f and g are wanted next.
   subroutine lbfgs_next(self, tolerance, f, g)
      type(lbfgs_handle), intent(inout) :: self
      !> Converged when no component of the gradient is larger
      real(wp), intent(in) :: tolerance
      !> Loss and gradient at x
      real(wp), intent(in) :: f
      real(wp), intent(in), contiguous :: g(:)
      type(error_type), allocatable :: error

      if (.not. self%filled) then
         call raise(error, error_value, "the optimiser is empty")
      else if (size(g) /= size(self%state%x)) then
         call raise(error, error_size, "arrays of the optimiser have the wrong size")
      else
         call lbfgs_step(self%state, tolerance, f, g)
      end if
      call report(error)
   end subroutine lbfgs_next

   !> \brief One step of Adam along the gradient of a mini-batch.
   subroutine adam_move(rates, step, gradient, weights, mean, mean_square)
      !> mu, b1, b2, eps, decay
      real(wp), intent(in), contiguous :: rates(:)
      !> Number of this step, from 1
      integer, intent(in) :: step
      !> (n_weights) all four
      real(wp), intent(in), contiguous :: gradient(:)
      real(wp), intent(inout), contiguous :: weights(:)
      real(wp), intent(inout), contiguous :: mean(:)
      real(wp), intent(inout), contiguous :: mean_square(:)

      call adam_step(rates, step, gradient, weights, mean, mean_square)
   end subroutine adam_move

   !> \brief Activation function: x becomes the value, slope its derivative.
   subroutine activation(code, x, slope)
      !> As in tf_activation
      integer, intent(in) :: code
      !> (n) arguments in, values out
      real(wp), intent(inout), contiguous :: x(:)
      real(wp), intent(inout), contiguous :: slope(:)
      type(error_type), allocatable :: error

      if (code < 0 .or. code >= n_activation) call raise(error, error_value, "unknown activation function")
      if (size(slope) /= size(x)) call raise(error, error_size, "arrays of the activation differ in size")
      if (.not. allocated(error)) call activate(code, size(x), x, slope)
      call report(error)
   end subroutine activation

   !> \brief z += x w^T and g += z^T x, `repeats` times: the two products of training, for tests and the benchmark.
   subroutine panel_products(x, w, z, g, repeats)
      !> (n_q, n_in), (n_out, n_in), (n_q, n_out), (n_out, n_in)
      real(wp), intent(in), contiguous :: x(:, :)
      real(wp), intent(in), contiguous :: w(:, :)
      real(wp), intent(inout), contiguous :: z(:, :)
      real(wp), intent(inout), contiguous :: g(:, :)
      !> How often, for timing
      integer, intent(in) :: repeats
      type(error_type), allocatable :: error
      integer :: i

      if (size(w, 2) /= size(x, 2) .or. size(z, 1) /= size(x, 1) .or. size(z, 2) /= size(w, 1) .or. &
         any(shape(g) /= shape(w))) call raise(error, error_size, "panel shapes do not match")
      if (.not. allocated(error)) then
         do i = 1, repeats
            call add_product(size(x, 1), size(x, 2), size(w, 1), x, w, z)
            call add_outer_product(size(x, 1), size(x, 2), size(w, 1), x, z, g)
         end do
      end if
      call report(error)
   end subroutine panel_products

   !> \brief c = a b, `repeats` times by BLAS: for tests and, as the peak to compare with, the benchmark.
   subroutine blas_product(a, b, c, repeats)
      !> (m, k), (k, n), (m, n)
      real(wp), intent(in), contiguous :: a(:, :)
      real(wp), intent(in), contiguous :: b(:, :)
      real(wp), intent(inout), contiguous :: c(:, :)
      !> How often, for timing
      integer, intent(in) :: repeats
      type(error_type), allocatable :: error
      integer :: i, m, n, k

      m = size(a, 1)
      k = size(a, 2)
      n = size(b, 2)
      if (size(b, 1) /= k .or. any(shape(c) /= [m, n])) call raise(error, error_size, "matrix shapes do not match")
      if (.not. allocated(error)) then
         do i = 1, repeats
            call dgemm("N", "N", m, n, k, 1.0_wp, a, max(1, m), b, max(1, k), 0.0_wp, c, max(1, m))
         end do
      end if
      call report(error)
   end subroutine blas_product

   !> \brief Which BLAS the engine was built with.
   function blas_library() result(name)
      character(len=40) :: name

      name = blas_name
   end function blas_library

end module tf_api_optimisers
