!> What Python sees of networks, losses and optimisers: flat arrays in, flat arrays out.
!>
!> The rules of tf_api_structures hold here too.
module tf_api_training
   use tf_kinds, only : wp, i8
   use tf_error, only : error_type, raise, report, error_size, error_value
   use tf_activation, only : activate, n_activation
   use tf_blas, only : dgemm, blas_name
   use tf_dense, only : add_product, add_outer_product
   use tf_network, only : network_type, new_networks
   use tf_objective, only : pack_type, view_of_pack, check_pack, check_groups, evaluate_energy_loss
   use tf_lbfgs, only : lbfgs_step, n_lbfgs_integers, n_lbfgs_reals
   use tf_stop, only : stop_type
   implicit none
   private
   public :: activation, panel_products, blas_product, blas_library, energy_loss, lbfgs_sizes, lbfgs

contains

   !> \brief Activation function: x becomes the value, slope its derivative.
   subroutine activation(code, x, slope, ierr, errmsg)
      integer, intent(in) :: code
      real(wp), intent(inout) :: x(:)
      real(wp), intent(inout) :: slope(:)
      integer, intent(out) :: ierr
      character(len=200), intent(out) :: errmsg
      type(error_type), allocatable :: error
      if (code < 0 .or. code >= n_activation) call raise(error, error_value, "unknown activation function")
      if (size(slope) /= size(x)) call raise(error, error_size, "arrays of the activation differ in size")
      if (.not. allocated(error)) call activate(code, size(x), x, slope)
      call report(error, ierr, errmsg)
   end subroutine activation

   !> \brief z += x w^T and g += z^T x, `repeats` times: the two products of training, for tests and the benchmark.
   subroutine panel_products(x, w, z, g, repeats, ierr, errmsg)
      real(wp), intent(in) :: x(:, :)
      real(wp), intent(in) :: w(:, :)
      real(wp), intent(inout) :: z(:, :)
      real(wp), intent(inout) :: g(:, :)
      integer, intent(in) :: repeats
      integer, intent(out) :: ierr
      character(len=200), intent(out) :: errmsg
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
      call report(error, ierr, errmsg)
   end subroutine panel_products

   !> \brief c = a b, `repeats` times by BLAS: for tests and, as the peak to compare with, the benchmark.
   subroutine blas_product(a, b, c, repeats, ierr, errmsg)
      real(wp), intent(in) :: a(:, :)
      real(wp), intent(in) :: b(:, :)
      real(wp), intent(inout) :: c(:, :)
      integer, intent(in) :: repeats
      integer, intent(out) :: ierr
      character(len=200), intent(out) :: errmsg
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
      call report(error, ierr, errmsg)
   end subroutine blas_product

   !> \brief Which BLAS the engine was built with.
   function blas_library() result(name)
      character(len=40) :: name
      name = blas_name
   end function blas_library

   !> \brief Energy loss over a packed data set and, if asked for, its weight gradient.
   subroutine energy_loss(features, panel_offset, panel_width, block_first, atom_offset, atom_count, n_layers, &
         n_nodes, codes, weights, energy_ref, factor, structure_weight, group, with_gradient, n_threads, energy, &
         gradient, loss, ierr, errmsg)
      real(wp), intent(in) :: features(:)
      integer(i8), intent(in), target :: panel_offset(:, :)
      integer, intent(in), target :: panel_width(:, :)
      integer, intent(in), target :: block_first(:)
      integer, intent(in), target :: atom_offset(:, :)
      integer, intent(in), target :: atom_count(:, :)
      integer, intent(in) :: n_layers(:)
      integer, intent(in) :: n_nodes(:)
      integer, intent(in) :: codes(:)
      real(wp), intent(in) :: weights(:)
      real(wp), intent(in) :: energy_ref(:)
      real(wp), intent(in) :: factor(:)
      real(wp), intent(in) :: structure_weight(:)
      integer, intent(in) :: group(:)
      integer, intent(in) :: with_gradient
      integer, intent(in) :: n_threads
      real(wp), intent(inout) :: energy(:)
      real(wp), intent(inout) :: gradient(:)
      real(wp), intent(out) :: loss
      integer, intent(out) :: ierr
      character(len=200), intent(out) :: errmsg
      type(error_type), allocatable :: error
      type(network_type), allocatable :: networks(:)
      type(pack_type) :: pack
      integer :: n_weights
      type(stop_type) :: stop
      loss = 0.0_wp
      call new_networks(n_layers, n_nodes, codes, networks, n_weights, error)
      if (.not. allocated(error)) then
         pack = view_of_pack(size(features, kind=i8), panel_offset, panel_width, block_first, atom_offset, &
            atom_count)
         call check_pack(pack, networks, error)
         if (size(weights) /= n_weights .or. size(energy_ref) /= pack%n_structures .or. &
            size(factor) /= pack%n_structures .or. size(structure_weight) /= pack%n_structures .or. size(group) /= pack%n_structures .or. &
            size(energy) /= pack%n_structures .or. (with_gradient /= 0 .and. size(gradient) /= n_weights)) &
            call raise(error, error_size, "arrays of the loss have the wrong size")
         if (.not. allocated(error)) call check_groups(pack, group, error)
         if (n_threads < 1) call raise(error, error_value, "the number of threads must be positive")
      end if
      if (.not. allocated(error)) call evaluate_energy_loss(pack, features, networks, weights, energy_ref, &
         factor, structure_weight, group, with_gradient /= 0, n_threads, energy, loss, gradient, stop)
      call report(error, ierr, errmsg)
   end subroutine energy_loss

   !> \brief Lengths of the integer and real state of the optimiser.
   subroutine lbfgs_sizes(n_integers, n_reals)
      integer, intent(out) :: n_integers
      integer, intent(out) :: n_reals
      n_integers = n_lbfgs_integers
      n_reals = n_lbfgs_reals
   end subroutine lbfgs_sizes

   !> \brief One step of L-BFGS by reverse communication; integers(1) is the task.
   subroutine lbfgs(tolerance, x, f, g, s, y, rho, x_start, g_start, direction, reals, integers, ierr, errmsg)
      real(wp), intent(in) :: tolerance
      real(wp), intent(inout) :: x(:)
      real(wp), intent(in) :: f
      real(wp), intent(in) :: g(:)
      real(wp), intent(inout) :: s(:, :)
      real(wp), intent(inout) :: y(:, :)
      real(wp), intent(inout) :: rho(:)
      real(wp), intent(inout) :: x_start(:)
      real(wp), intent(inout) :: g_start(:)
      real(wp), intent(inout) :: direction(:)
      real(wp), intent(inout) :: reals(:)
      integer, intent(inout) :: integers(:)
      integer, intent(out) :: ierr
      character(len=200), intent(out) :: errmsg
      type(error_type), allocatable :: error
      integer :: n, m
      n = size(x)
      m = size(rho)
      if (m < 1 .or. size(g) /= n .or. any(shape(s) /= [n, m]) .or. any(shape(y) /= [n, m]) .or. &
         size(x_start) /= n .or. size(g_start) /= n .or. size(direction) /= n .or. &
         size(reals) /= n_lbfgs_reals .or. size(integers) /= n_lbfgs_integers) then
         call raise(error, error_size, "arrays of the optimiser have the wrong size")
      else
         call lbfgs_step(n, m, tolerance, x, f, g, s, y, rho, x_start, g_start, direction, reals, integers)
      end if
      call report(error, ierr, errmsg)
   end subroutine lbfgs

end module tf_api_training
