!> What Python sees of the training methods that move the weights more than once an epoch.
!>
!> The rules of tf_api_structures hold here too.  The first arguments of most routines are the packed data
!> set and the networks, as in tf_api_training; `chosen` are structure numbers from 1.
module tf_api_methods
   use tf_kinds, only : wp, i8
   use tf_error, only : error_type, raise, report, error_size, error_value
   use tf_network, only : network_type, new_networks
   use tf_objective, only : pack_type, view_of_pack, check_pack
   use tf_jacobian, only : chosen_energies, evaluate_jacobian
   use tf_kalman, only : covariance_size, start_covariance
   use tf_levenberg_marquardt, only : normal_matrix, damped_step
   use tf_passes, only : descent_pass, kalman_pass, adam_pass
   implicit none
   private
   public :: energies, jacobian, normal, damped, descent, filter_start, filter, adam

contains

   !> \brief Network energies of chosen structures.
   subroutine energies(features, panel_offset, panel_width, block_first, atom_offset, atom_count, n_layers, &
         n_nodes, codes, chosen, weights, n_threads, energy, ierr, errmsg)
      real(wp), intent(in) :: features(:)
      integer(i8), intent(in), target :: panel_offset(:, :)
      integer, intent(in), target :: panel_width(:, :)
      integer, intent(in), target :: block_first(:)
      integer, intent(in), target :: atom_offset(:, :)
      integer, intent(in), target :: atom_count(:, :)
      integer, intent(in) :: n_layers(:)
      integer, intent(in) :: n_nodes(:)
      integer, intent(in) :: codes(:)
      integer, intent(in) :: chosen(:)
      real(wp), intent(in) :: weights(:)
      integer, intent(in) :: n_threads
      real(wp), intent(inout) :: energy(:)
      integer, intent(out) :: ierr
      character(len=200), intent(out) :: errmsg
      type(error_type), allocatable :: error
      type(network_type), allocatable :: networks(:)
      type(pack_type) :: pack
      call view(size(features, kind=i8), panel_offset, panel_width, block_first, atom_offset, atom_count, &
         n_layers, n_nodes, codes, chosen, size(weights), n_threads, networks, pack, error)
      if (size(energy) /= size(chosen)) call raise(error, error_size, "one energy per chosen structure is needed")
      if (.not. allocated(error)) &
         call chosen_energies(pack, features, networks, weights, chosen, n_threads, energy)
      call report(error, ierr, errmsg)
   end subroutine energies

   !> \brief Network energies of chosen structures and their derivatives (n_weights, n_chosen).
   subroutine jacobian(features, panel_offset, panel_width, block_first, atom_offset, atom_count, n_layers, &
         n_nodes, codes, chosen, weights, n_threads, energy, derivative, ierr, errmsg)
      real(wp), intent(in) :: features(:)
      integer(i8), intent(in), target :: panel_offset(:, :)
      integer, intent(in), target :: panel_width(:, :)
      integer, intent(in), target :: block_first(:)
      integer, intent(in), target :: atom_offset(:, :)
      integer, intent(in), target :: atom_count(:, :)
      integer, intent(in) :: n_layers(:)
      integer, intent(in) :: n_nodes(:)
      integer, intent(in) :: codes(:)
      integer, intent(in) :: chosen(:)
      real(wp), intent(in) :: weights(:)
      integer, intent(in) :: n_threads
      real(wp), intent(inout) :: energy(:)
      real(wp), intent(inout) :: derivative(:, :)
      integer, intent(out) :: ierr
      character(len=200), intent(out) :: errmsg
      type(error_type), allocatable :: error
      type(network_type), allocatable :: networks(:)
      type(pack_type) :: pack
      call view(size(features, kind=i8), panel_offset, panel_width, block_first, atom_offset, atom_count, &
         n_layers, n_nodes, codes, chosen, size(weights), n_threads, networks, pack, error)
      if (size(energy) /= size(chosen) .or. any(shape(derivative) /= [size(weights), size(chosen)])) &
         call raise(error, error_size, "energies or Jacobian do not match the chosen structures")
      if (.not. allocated(error)) &
         call evaluate_jacobian(pack, features, networks, weights, chosen, n_threads, energy, derivative)
      call report(error, ierr, errmsg)
   end subroutine jacobian

   !> \brief The smaller of the two products of a Jacobian with itself (lower triangle).
   subroutine normal(derivative, n_threads, product, ierr, errmsg)
      real(wp), intent(in) :: derivative(:, :)
      integer, intent(in) :: n_threads
      real(wp), intent(inout) :: product(:, :)
      integer, intent(out) :: ierr
      character(len=200), intent(out) :: errmsg
      type(error_type), allocatable :: error
      if (any(shape(product) /= minval(shape(derivative))) .or. size(derivative) == 0) &
         call raise(error, error_size, "the normal matrix does not match the Jacobian")
      if (n_threads < 1) call raise(error, error_value, "the number of threads must be positive")
      if (.not. allocated(error)) call normal_matrix(derivative, n_threads, product)
      call report(error, ierr, errmsg)
   end subroutine normal

   !> \brief Step of Levenberg and Marquardt for one damping; solved is 0 if the matrix was not positive definite.
   subroutine damped(derivative, residual, product, damping, step, solved, ierr, errmsg)
      real(wp), intent(in) :: derivative(:, :)
      real(wp), intent(in) :: residual(:)
      real(wp), intent(in) :: product(:, :)
      real(wp), intent(in) :: damping
      real(wp), intent(inout) :: step(:)
      integer, intent(out) :: solved
      integer, intent(out) :: ierr
      character(len=200), intent(out) :: errmsg
      type(error_type), allocatable :: error
      logical :: good
      solved = 0
      if (any(shape(product) /= minval(shape(derivative))) .or. size(step) /= size(derivative, 1) .or. &
         size(residual) /= size(derivative, 2)) call raise(error, error_size, "arrays of the damped step do not match")
      if (.not. allocated(error)) then
         call damped_step(derivative, residual, product, damping, step, good)
         solved = merge(1, 0, good)
      end if
      call report(error, ierr, errmsg)
   end subroutine damped

   !> \brief One pass of steepest descent with momentum over chosen structures.
   subroutine descent(features, panel_offset, panel_width, block_first, atom_offset, atom_count, n_layers, &
         n_nodes, codes, chosen, energy_ref, factor, structure_weight, momentum, rate, weights, velocity, ierr, errmsg)
      real(wp), intent(in) :: features(:)
      integer(i8), intent(in), target :: panel_offset(:, :)
      integer, intent(in), target :: panel_width(:, :)
      integer, intent(in), target :: block_first(:)
      integer, intent(in), target :: atom_offset(:, :)
      integer, intent(in), target :: atom_count(:, :)
      integer, intent(in) :: n_layers(:)
      integer, intent(in) :: n_nodes(:)
      integer, intent(in) :: codes(:)
      integer, intent(in) :: chosen(:)
      real(wp), intent(in) :: energy_ref(:)
      real(wp), intent(in) :: factor(:)
      real(wp), intent(in) :: structure_weight(:)
      real(wp), intent(in) :: momentum
      real(wp), intent(in) :: rate
      real(wp), intent(inout) :: weights(:)
      real(wp), intent(inout) :: velocity(:)
      integer, intent(out) :: ierr
      character(len=200), intent(out) :: errmsg
      type(error_type), allocatable :: error
      type(network_type), allocatable :: networks(:)
      type(pack_type) :: pack
      call view(size(features, kind=i8), panel_offset, panel_width, block_first, atom_offset, atom_count, &
         n_layers, n_nodes, codes, chosen, size(weights), 1, networks, pack, error)
      call check_terms(pack, energy_ref, factor, structure_weight, error)
      if (size(velocity) /= size(weights)) call raise(error, error_size, "velocity and weights differ in size")
      if (.not. allocated(error)) call descent_pass(pack, features, networks, chosen, energy_ref, factor, &
         structure_weight, momentum, rate, weights, velocity)
      call report(error, ierr, errmsg)
   end subroutine descent

   !> \brief Covariance of a Kalman filter at the start: variance times unit matrix in blocks of `width` weights.
   subroutine filter_start(n_weights, width, variance, covariance, ierr, errmsg)
      integer, intent(in) :: n_weights
      integer, intent(in) :: width
      real(wp), intent(in) :: variance
      real(wp), intent(inout) :: covariance(:)
      integer, intent(out) :: ierr
      character(len=200), intent(out) :: errmsg
      type(error_type), allocatable :: error
      call check_covariance(n_weights, width, covariance, error)
      if (.not. allocated(error)) call start_covariance(n_weights, width, variance, covariance)
      call report(error, ierr, errmsg)
   end subroutine filter_start

   !> \brief One pass of the extended Kalman filter over chosen structures; forgetting(1) is updated.
   subroutine filter(features, panel_offset, panel_width, block_first, atom_offset, atom_count, n_layers, &
         n_nodes, codes, chosen, energy_ref, factor, structure_weight, width, forgetting_rate, noise, n_threads, &
         weights, covariance, forgetting, ierr, errmsg)
      real(wp), intent(in) :: features(:)
      integer(i8), intent(in), target :: panel_offset(:, :)
      integer, intent(in), target :: panel_width(:, :)
      integer, intent(in), target :: block_first(:)
      integer, intent(in), target :: atom_offset(:, :)
      integer, intent(in), target :: atom_count(:, :)
      integer, intent(in) :: n_layers(:)
      integer, intent(in) :: n_nodes(:)
      integer, intent(in) :: codes(:)
      integer, intent(in) :: chosen(:)
      real(wp), intent(in) :: energy_ref(:)
      real(wp), intent(in) :: factor(:)
      real(wp), intent(in) :: structure_weight(:)
      integer, intent(in) :: width
      real(wp), intent(in) :: forgetting_rate
      real(wp), intent(in) :: noise
      integer, intent(in) :: n_threads
      real(wp), intent(inout) :: weights(:)
      real(wp), intent(inout) :: covariance(:)
      real(wp), intent(inout) :: forgetting(:)
      integer, intent(out) :: ierr
      character(len=200), intent(out) :: errmsg
      type(error_type), allocatable :: error
      type(network_type), allocatable :: networks(:)
      type(pack_type) :: pack
      call view(size(features, kind=i8), panel_offset, panel_width, block_first, atom_offset, atom_count, &
         n_layers, n_nodes, codes, chosen, size(weights), n_threads, networks, pack, error)
      call check_terms(pack, energy_ref, factor, structure_weight, error)
      call check_covariance(size(weights), width, covariance, error)
      if (size(forgetting) /= 1) call raise(error, error_size, "the forgetting factor is one number")
      if (.not. allocated(error)) call kalman_pass(pack, features, networks, chosen, energy_ref, factor, &
         structure_weight, width, forgetting_rate, noise, n_threads, weights, covariance, forgetting(1))
      call report(error, ierr, errmsg)
   end subroutine filter

   !> \brief One pass of Adam over chosen structures in mini-batches; n_steps(1) is updated.
   subroutine adam(features, panel_offset, panel_width, block_first, atom_offset, atom_count, n_layers, &
         n_nodes, codes, chosen, energy_ref, factor, structure_weight, batch_size, mu, b1, b2, eps, n_threads, &
         weights, mean, mean_square, n_steps, ierr, errmsg)
      real(wp), intent(in) :: features(:)
      integer(i8), intent(in), target :: panel_offset(:, :)
      integer, intent(in), target :: panel_width(:, :)
      integer, intent(in), target :: block_first(:)
      integer, intent(in), target :: atom_offset(:, :)
      integer, intent(in), target :: atom_count(:, :)
      integer, intent(in) :: n_layers(:)
      integer, intent(in) :: n_nodes(:)
      integer, intent(in) :: codes(:)
      integer, intent(in) :: chosen(:)
      real(wp), intent(in) :: energy_ref(:)
      real(wp), intent(in) :: factor(:)
      real(wp), intent(in) :: structure_weight(:)
      integer, intent(in) :: batch_size
      real(wp), intent(in) :: mu
      real(wp), intent(in) :: b1
      real(wp), intent(in) :: b2
      real(wp), intent(in) :: eps
      integer, intent(in) :: n_threads
      real(wp), intent(inout) :: weights(:)
      real(wp), intent(inout) :: mean(:)
      real(wp), intent(inout) :: mean_square(:)
      integer, intent(inout) :: n_steps(:)
      integer, intent(out) :: ierr
      character(len=200), intent(out) :: errmsg
      type(error_type), allocatable :: error
      type(network_type), allocatable :: networks(:)
      type(pack_type) :: pack
      call view(size(features, kind=i8), panel_offset, panel_width, block_first, atom_offset, atom_count, &
         n_layers, n_nodes, codes, chosen, size(weights), n_threads, networks, pack, error)
      call check_terms(pack, energy_ref, factor, structure_weight, error)
      if (size(mean) /= size(weights) .or. size(mean_square) /= size(weights) .or. size(n_steps) /= 1) &
         call raise(error, error_size, "arrays of the optimiser have the wrong size")
      if (batch_size < 1) call raise(error, error_value, "the batch size must be positive")
      if (.not. allocated(error)) call adam_pass(pack, features, networks, chosen, energy_ref, factor, &
         structure_weight, batch_size, mu, b1, b2, eps, n_threads, weights, mean, mean_square, n_steps(1))
      call report(error, ierr, errmsg)
   end subroutine adam

   !> Borrow the caller's arrays as a pack, build the networks, and check that all of it fits together
   subroutine view(n_features, panel_offset, panel_width, block_first, atom_offset, atom_count, n_layers, n_nodes, &
         codes, chosen, n_weights, n_threads, networks, pack, error)
      integer(i8), intent(in) :: n_features
      integer(i8), intent(in), target :: panel_offset(:, :)
      integer, intent(in), target :: panel_width(:, :), block_first(:), atom_offset(:, :), atom_count(:, :)
      integer, intent(in) :: n_layers(:), n_nodes(:), codes(:), chosen(:)
      integer, intent(in) :: n_weights, n_threads
      type(network_type), allocatable, intent(out) :: networks(:)
      type(pack_type), intent(out) :: pack
      type(error_type), allocatable, intent(inout) :: error
      integer :: needed
      call new_networks(n_layers, n_nodes, codes, networks, needed, error)
      if (allocated(error)) return
      pack = view_of_pack(n_features, panel_offset, panel_width, block_first, atom_offset, &
         atom_count)
      call check_pack(pack, networks, error)
      if (n_weights /= needed) call raise(error, error_size, "weights do not match the networks")
      if (any(chosen < 1) .or. any(chosen > pack%n_structures)) &
         call raise(error, error_value, "a chosen structure is not in the packed data set")
      if (n_threads < 1) call raise(error, error_value, "the number of threads must be positive")
   end subroutine view

   !> The terms of the loss need one number per structure of the pack
   subroutine check_terms(pack, energy_ref, factor, structure_weight, error)
      type(pack_type), intent(in) :: pack
      real(wp), intent(in) :: energy_ref(:), factor(:), structure_weight(:)
      type(error_type), allocatable, intent(inout) :: error
      if (allocated(error)) return
      if (size(energy_ref) /= pack%n_structures .or. size(factor) /= pack%n_structures .or. &
         size(structure_weight) /= pack%n_structures) call raise(error, error_size, "arrays of the loss have the wrong size")
   end subroutine check_terms

   subroutine check_covariance(n_weights, width, covariance, error)
      integer, intent(in) :: n_weights, width
      real(wp), intent(in) :: covariance(:)
      type(error_type), allocatable, intent(inout) :: error
      if (allocated(error)) return
      if (width < 1 .or. n_weights < 1) then
         call raise(error, error_value, "blocks of the covariance must hold at least one weight")
      else if (size(covariance, kind=i8) /= covariance_size(n_weights, width)) then
         call raise(error, error_size, "the covariance has the wrong size")
      end if
   end subroutine check_covariance

end module tf_api_methods
