!> What Python sees of losses over a packed data set, and of the methods that step within an epoch.  The rules of
!> tf_api_structures hold here too.  A loss belongs to one thread.
module tf_api_losses
   use, intrinsic :: iso_c_binding, only : c_f_pointer
   use tf_kinds, only : wp, i8
   use tf_api_force_maps, only : force_map_handle
   use tf_block_passes, only : block_sums, adam_block_pass
   use tf_chosen, only : chosen_energies, batch_sums
   use tf_energy_loss, only : evaluate_energy_loss, energy_scratch, energy_threads
   use tf_energy_loss_single, only : evaluate_energy_loss_single => evaluate_energy_loss, energy_scratch_single => energy_scratch
   use tf_error, only : error_type, raise, report, error_size, error_value
   use tf_force_loss, only : evaluate_force_loss, force_scratch, force_threads
   use tf_force_loss_single, only : evaluate_force_loss_single => evaluate_force_loss, force_scratch_single => force_scratch
   use tf_force_terms, only : force_terms_type, check_force_terms
   use tf_kalman, only : check_covariance
   use tf_loss_checks, only : check_call, check_rows, check_adam, check_sums
   use tf_network, only : network_type
   use tf_pack, only : loss_type, check_pack, check_groups
   use tf_passes, only : descent_pass, kalman_pass, adam_pass, levenberg_marquardt_pass
   use tf_stop, only : stop_type
   use tf_tree_sum, only : nodes_type, columns_of_sums
   use tf_views, only : at, view_networks, view_token, check_views
   implicit none
   private
   public :: loss_handle, loss_fill, loss_work, loss_add_forces, loss_evaluate, loss_energies
   public :: loss_descent, loss_filter, loss_adam, loss_batch, loss_levenberg_marquardt

   !> A loss of energies, with forces and directions if these have been added
   type :: loss_handle
      private
      type(loss_type) :: loss
      type(force_terms_type) :: terms
      logical :: with_terms = .false.
   end type loss_handle

contains

   !> \brief View the arrays of a packed data set and of a loss over it, and build the networks.
   subroutine loss_fill(self, views, first_leaf)
      type(loss_handle), intent(inout) :: self
      !> features, features_single, panel_offset, panel_width, block_first, atom_offset, atom_count of `pack_type`; layers,
      !> nodes and codes (see `new_networks`); energy_ref, factor, structure_weight, group of `loss_type`; stop token
      integer(i8), intent(in), contiguous :: views(:, :)
      !> Number of the first block, from 0
      integer(i8), intent(in) :: first_leaf
      type(error_type), allocatable :: error
      integer :: n

      call check_views(views, 15, error)
      if (.not. allocated(error)) then
         associate (pack => self%loss%pack)
            call c_f_pointer(at(views, 1), pack%features, views(2:2, 1))
            call c_f_pointer(at(views, 2), pack%features_single, views(2:2, 2))
            call c_f_pointer(at(views, 3), pack%panel_offset, views(2:3, 3))
            call c_f_pointer(at(views, 4), pack%panel_width, views(2:3, 4))
            call c_f_pointer(at(views, 5), pack%block_first, views(2:2, 5))
            call c_f_pointer(at(views, 6), pack%atom_offset, views(2:3, 6))
            call c_f_pointer(at(views, 7), pack%atom_count, views(2:3, 7))
            pack%first_leaf = first_leaf
            pack%n_species = size(pack%panel_offset, 1)
            pack%n_blocks = size(pack%panel_offset, 2)
            pack%n_structures = size(pack%atom_offset, 2)
         end associate
         call c_f_pointer(at(views, 11), self%loss%energy_ref, views(2:2, 11))
         call c_f_pointer(at(views, 12), self%loss%factor, views(2:2, 12))
         call c_f_pointer(at(views, 13), self%loss%structure_weight, views(2:2, 13))
         call c_f_pointer(at(views, 14), self%loss%group, views(2:2, 14))
         call view_token(views, 15, self%loss%token)
         call view_networks(views, 8, self%loss%networks, self%loss%n_weights, error)
      end if
      if (.not. allocated(error)) call check_pack(self%loss%pack, self%loss%networks, error)
      if (.not. allocated(error)) then
         n = self%loss%pack%n_structures
         if (size(self%loss%energy_ref) /= n .or. size(self%loss%factor) /= n .or. size(self%loss%structure_weight) /= n .or. &
            size(self%loss%group) /= n) call raise(error, error_size, "arrays of the loss have the wrong size")
      end if
      if (.not. allocated(error)) call check_groups(self%loss%pack, self%loss%group, error)
      if (allocated(error) .and. allocated(self%loss%networks)) deallocate (self%loss%networks)
      call report(error)
   end subroutine loss_fill

   !> \brief Numbers of scratch and of partial sums that the evaluation of a loss takes.
   subroutine loss_work(views, with_forces, with_gradient, in_single, n_threads, n_numbers)
      !> panel_width of `pack_type`; layers, nodes and codes (see `new_networks`)
      integer(i8), intent(in), contiguous :: views(:, :)
      !> Not 0: with forces or directions; with the weight gradient
      integer, intent(in) :: with_forces
      integer, intent(in) :: with_gradient
      !> Not 0: panels are in single precision
      integer, intent(in) :: in_single
      integer, intent(in) :: n_threads
      integer(i8), intent(out) :: n_numbers
      type(error_type), allocatable :: error
      type(network_type), allocatable :: networks(:)
      integer, pointer, contiguous :: panel_width(:, :)
      integer :: n_weights, n_used

      n_numbers = 0
      call check_views(views, 4, error)
      if (.not. allocated(error)) then
         call c_f_pointer(at(views, 1), panel_width, views(2:3, 1))
         call view_networks(views, 2, networks, n_weights, error)
      end if
      if (.not. allocated(error)) then
         if (size(panel_width, 1) /= size(networks)) call raise(error, error_size, "one network per species is needed")
      end if
      if (.not. allocated(error)) then
         if (with_forces /= 0) then
            n_used = force_threads(panel_width, n_threads)
            n_numbers = force_scratch(panel_width, networks)
            if (in_single /= 0) n_numbers = force_scratch_single(panel_width, networks)
         else
            n_used = energy_threads(panel_width, n_threads)
            n_numbers = energy_scratch(panel_width, networks)
            if (in_single /= 0) n_numbers = energy_scratch_single(panel_width, networks)
         end if
         n_numbers = n_used*n_numbers
         n_numbers = n_numbers + (merge(n_weights, 0, with_gradient /= 0) + 1_i8)*columns_of_sums(size(panel_width, 2), n_used)
      end if
      call report(error)
   end subroutine loss_work

   !> \brief Add terms of forces and of derivatives along directions to a loss.
   subroutine loss_add_forces(self, map, views)
      type(loss_handle), intent(inout) :: self
      !> Empty: no forces
      type(force_map_handle), intent(in) :: map
      !> The arrays of `force_terms_type`, in its order
      integer(i8), intent(in), contiguous :: views(:, :)
      type(error_type), allocatable :: error

      call check_views(views, 8, error)
      if (.not. allocated(self%loss%networks)) call raise(error, error_value, "the loss is empty")
      if (.not. allocated(error)) then
         associate (terms => self%terms)
            terms%with_forces = map%map%has_values
            if (map%map%has_values) terms%map = map%map
            call c_f_pointer(at(views, 1), terms%feature_factor, views(2:3, 1))
            call c_f_pointer(at(views, 2), terms%force_ref, views(2:3, 2))
            call c_f_pointer(at(views, 3), terms%atom_weight, views(2:2, 3))
            call c_f_pointer(at(views, 4), terms%first_direction, views(2:2, 4))
            call c_f_pointer(at(views, 5), terms%first_change, views(2:2, 5))
            call c_f_pointer(at(views, 6), terms%change, views(2:2, 6))
            call c_f_pointer(at(views, 7), terms%derivative_ref, views(2:2, 7))
            call c_f_pointer(at(views, 8), terms%direction_weight, views(2:2, 8))
            call check_force_terms(terms, self%loss%pack, self%loss%networks, error)
            if (map%map%has_values .and. .not. allocated(error)) then
               if (any(map%map%n_features /= self%loss%networks%n_inputs)) then
                 call raise(error, error_size, "functions of the force map are not those of the descriptors")
               end if
            end if
         end associate
      end if
      self%with_terms = .not. allocated(error)
      call report(error)
   end subroutine loss_add_forces

   !> \brief What a loss at some weights is made of; its weight gradient, if asked for, and itself as partial sums.
   subroutine loss_evaluate(self, weights, n_threads, energy, force, derivative, nodes, sums, n_nodes)
      type(loss_handle), intent(in) :: self
      !> (n_weights) of all networks
      real(wp), intent(in), contiguous :: weights(:)
      !> Threads of the call
      integer, intent(in) :: n_threads
      !> (n_structures)
      real(wp), intent(inout), contiguous :: energy(:)
      !> (3, n_atoms) and (n_directions): of size 0 without such terms
      real(wp), intent(inout), contiguous :: force(:, :)
      real(wp), intent(inout), contiguous :: derivative(:)
      !> (2, `sums_most`) first leaf and level of each node, see tf_tree_sum
      integer(i8), intent(inout), contiguous :: nodes(:, :)
      !> (n_weights + 1, `sums_most`) gradient and loss; (1, …): no gradient
      real(wp), intent(inout), contiguous :: sums(:, :)
      !> Nodes that were set
      integer, intent(out) :: n_nodes
      type(error_type), allocatable :: error
      type(stop_type) :: stop
      type(nodes_type) :: found
      logical :: with_gradient, in_single

      n_nodes = 0
      with_gradient = size(sums, 1) > 1
      call check_call(self%loss, weights, n_threads, error)
      if (.not. allocated(error)) then
         if (size(energy) /= self%loss%pack%n_structures) then
           call raise(error, error_size, "arrays of the loss have the wrong size")
         end if
         call check_sums(self%loss%pack%n_blocks, merge(size(weights), 0, with_gradient) + 1, nodes, sums, error)
         if (self%with_terms) then
            if (any(shape(force) /= shape(self%terms%force_ref)) .or. size(derivative) /= size(self%terms%derivative_ref)) then
              call raise(error, error_size, "arrays of the loss have the wrong size")
            end if
         end if
      end if
      if (.not. allocated(error)) then
         stop%token => self%loss%token
         in_single = size(self%loss%pack%features_single) > 0
         if (self%with_terms .and. in_single) then
            call evaluate_force_loss_single(self%loss, self%terms, weights, with_gradient, n_threads, energy, force, &
               derivative, found, stop, error)
         else if (self%with_terms) then
            call evaluate_force_loss(self%loss, self%terms, weights, with_gradient, n_threads, energy, force, derivative, &
               found, stop, error)
         else if (in_single) then
            call evaluate_energy_loss_single(self%loss, weights, with_gradient, n_threads, energy, found, stop, error)
         else
            call evaluate_energy_loss(self%loss, weights, with_gradient, n_threads, energy, found, stop, error)
         end if
      end if
      if (.not. allocated(error)) call give_nodes(found, nodes, sums, n_nodes)
      call report(error)
   end subroutine loss_evaluate

   !> Nodes of a sum in the caller's arrays
   subroutine give_nodes(found, nodes, sums, n_nodes)
      type(nodes_type), intent(in) :: found
      !> As for `loss_evaluate`
      integer(i8), intent(inout), contiguous :: nodes(:, :)
      real(wp), intent(inout), contiguous :: sums(:, :)
      !> Nodes that were set
      integer, intent(out) :: n_nodes

      n_nodes = found%n
      nodes(1, :n_nodes) = found%first(:n_nodes)
      nodes(2, :n_nodes) = found%level(:n_nodes)
      sums(:, :n_nodes) = found%sums(:size(sums, 1), :n_nodes)
   end subroutine give_nodes

   !> \brief Network energies of chosen structures.
   subroutine loss_energies(self, chosen, weights, n_threads, energy)
      type(loss_handle), intent(in) :: self
      !> Structure numbers, from 1, here and below
      integer, intent(in), contiguous :: chosen(:)
      real(wp), intent(in), contiguous :: weights(:)
      !> Threads of the call
      integer, intent(in) :: n_threads
      !> (size(chosen))
      real(wp), intent(inout), contiguous :: energy(:)
      type(error_type), allocatable :: error
      type(stop_type) :: stop

      call check_call(self%loss, weights, n_threads, error, chosen)
      if (size(energy) /= size(chosen)) call raise(error, error_size, "one energy per chosen structure is needed")
      stop%token => self%loss%token
      if (.not. allocated(error)) call chosen_energies(self%loss, weights, chosen, n_threads, energy, stop, error)
      call report(error)
   end subroutine loss_energies

   !> \brief One pass of steepest descent with momentum over chosen structures.
   subroutine loss_descent(self, chosen, momentum, rate, weights, velocity)
      type(loss_handle), intent(in) :: self
      !> Structure numbers, from 1
      integer, intent(in), contiguous :: chosen(:)
      !> Share of the last step that is kept
      real(wp), intent(in) :: momentum
      !> Learning rate
      real(wp), intent(in) :: rate
      !> (n_weights) both
      real(wp), intent(inout), contiguous :: weights(:)
      real(wp), intent(inout), contiguous :: velocity(:)
      type(error_type), allocatable :: error

      call check_call(self%loss, weights, 1, error, chosen)
      if (size(velocity) /= size(weights)) call raise(error, error_size, "velocity and weights differ in size")
      if (.not. allocated(error)) call descent_pass(self%loss, chosen, momentum, rate, weights, velocity, error)
      call report(error)
   end subroutine loss_descent

   !> \brief One pass of the extended Kalman filter over chosen structures; forgetting(1) is updated.
   subroutine loss_filter(self, chosen, width, rates, n_threads, weights, covariance, forgetting)
      type(loss_handle), intent(in) :: self
      !> Structure numbers, from 1
      integer, intent(in), contiguous :: chosen(:)
      !> Weights per block of the covariance
      integer, intent(in) :: width
      !> Rate of forgetting, and noise
      real(wp), intent(in), contiguous :: rates(:)
      !> Threads of the call
      integer, intent(in) :: n_threads
      real(wp), intent(inout), contiguous :: weights(:)
      real(wp), intent(inout), contiguous :: covariance(:)
      real(wp), intent(inout), contiguous :: forgetting(:)
      type(error_type), allocatable :: error

      call check_call(self%loss, weights, n_threads, error, chosen)
      call check_covariance(size(weights), width, covariance, error)
      if (size(forgetting) /= 1 .or. size(rates) /= 2) call raise(error, error_size, "the forgetting factor is one number")
      if (.not. allocated(error)) call kalman_pass(self%loss, chosen, width, rates(1), rates(2), n_threads, weights, &
         covariance, forgetting(1), error)
      call report(error)
   end subroutine loss_filter

   !> \brief One pass of Adam over structures in mini-batches, or over blocks of a loss with forces; n_steps(1) is updated.
   subroutine loss_adam(self, rows, batch_size, rates, n_threads, weights, mean, mean_square, n_steps)
      type(loss_handle), intent(in) :: self
      !> (n, 3) number of each structure, from 1, its atoms and its section, see `tf_chosen`; or (n, 1) number of each
      !> block, from 1, ascending in each batch
      integer, intent(in), contiguous :: rows(:, :)
      !> Rows of a batch
      integer, intent(in) :: batch_size
      !> mu, b1, b2, eps, decay
      real(wp), intent(in), contiguous :: rates(:)
      !> Threads of the call
      integer, intent(in) :: n_threads
      !> (n_weights) all three
      real(wp), intent(inout), contiguous :: weights(:)
      real(wp), intent(inout), contiguous :: mean(:)
      real(wp), intent(inout), contiguous :: mean_square(:)
      integer, intent(inout), contiguous :: n_steps(:)
      type(error_type), allocatable :: error

      call check_rows(self%loss, self%with_terms, weights, n_threads, rows, [0, size(rows, 1)], error)
      call check_adam(weights, mean, mean_square, n_steps, rates, batch_size, error)
      if (.not. allocated(error)) then
         if (size(rows, 2) == 1) then
            call adam_block_pass(self%loss, self%terms, rows(:, 1), batch_size, rates, n_threads, weights, mean, &
               mean_square, n_steps(1), error)
         else
            call adam_pass(self%loss, rows, batch_size, rates, n_threads, weights, mean, mean_square, n_steps(1), error)
         end if
      end if
      call report(error)
   end subroutine loss_adam

   !> \brief The share of one process of the gradient of a batch of `loss_adam`, as partial sums.
   subroutine loss_batch(self, rows, here, weights, n_threads, nodes, sums, n_nodes)
      type(loss_handle), intent(in) :: self
      !> As for `loss_adam`, of the batch; numbers of what other processes have do not count
      integer, intent(in), contiguous :: rows(:, :)
      !> Rows before those of this process, and its own, which are whole sections or blocks
      integer, intent(in), contiguous :: here(:)
      real(wp), intent(in), contiguous :: weights(:)
      !> Threads of the call
      integer, intent(in) :: n_threads
      !> As for `loss_evaluate`, with room for one leaf per row, and without the loss
      integer(i8), intent(inout), contiguous :: nodes(:, :)
      real(wp), intent(inout), contiguous :: sums(:, :)
      !> Nodes that were set
      integer, intent(out) :: n_nodes
      type(error_type), allocatable :: error
      type(nodes_type) :: found
      type(stop_type) :: stop

      n_nodes = 0
      call check_rows(self%loss, self%with_terms, weights, n_threads, rows, here, error)
      call check_sums(size(rows, 1), size(weights), nodes, sums, error)
      stop%token => self%loss%token
      if (.not. allocated(error)) then
         if (size(rows, 2) == 1) then
            call block_sums(self%loss, self%terms, weights, rows(here(1) + 1:sum(here), 1), here(1), n_threads, found, stop, &
               error)
         else
            call batch_sums(self%loss, weights, rows, here, n_threads, found, stop, error)
         end if
      end if
      if (.not. allocated(error)) call give_nodes(found, nodes, sums, n_nodes)
      call report(error)
   end subroutine loss_batch

   !> \brief One pass of Levenberg and Marquardt over chosen structures in batches; damping(1) is updated.
   subroutine loss_levenberg_marquardt(self, chosen, batch_size, n_steps, rates, n_threads, weights, damping, moved)
      type(loss_handle), intent(in) :: self
      !> Structure numbers, from 1
      integer, intent(in), contiguous :: chosen(:)
      !> Structures of a batch, and steps on each
      integer, intent(in) :: batch_size
      !> Steps on each batch
      integer, intent(in) :: n_steps
      !> Factor by which the damping changes, and fraction of the loss below which a batch is done
      real(wp), intent(in), contiguous :: rates(:)
      !> Threads of the call
      integer, intent(in) :: n_threads
      real(wp), intent(inout), contiguous :: weights(:)
      real(wp), intent(inout), contiguous :: damping(:)
      !> 1 if any step lowered a loss
      integer, intent(out) :: moved
      type(error_type), allocatable :: error
      logical :: has_moved

      moved = 0
      call check_call(self%loss, weights, n_threads, error, chosen)
      if (size(damping) /= 1 .or. size(rates) /= 2) call raise(error, error_size, "arrays of the optimiser have the wrong size")
      if (batch_size < 1) call raise(error, error_value, "the batch size must be positive")
      if (.not. allocated(error)) then
         call levenberg_marquardt_pass(self%loss, chosen, batch_size, n_steps, rates(1), rates(2), n_threads, weights, &
            damping(1), has_moved, error)
         moved = merge(1, 0, has_moved)
      end if
      call report(error)
   end subroutine loss_levenberg_marquardt

end module tf_api_losses
