!> What Python sees of the loss with forces: flat arrays in, flat arrays out.
!>
!> The rules of tf_api_structures hold here too.
module tf_api_forces
   use tf_kinds, only : wp, sp, i8
   use tf_error, only : error_type, raise, report, error_size, error_value
   use tf_network, only : network_type, new_networks
   use tf_objective, only : pack_type, view_of_pack, check_pack
   use tf_force_map, only : view_of_map, check_force_map
   use tf_force_objective, only : force_terms_type, evaluate_force_loss
   use tf_stop, only : stop_type
   implicit none
   private
   public :: force_loss

contains

   !> \brief Loss of energies, forces and derivatives along directions and, if asked for, its weight gradient.
   subroutine force_loss(features, panel_offset, panel_width, block_first, atom_offset, atom_count, n_layers, &
         n_nodes, codes, weights, energy_ref, factor, structure_weight, radial_count, radial_half, weight, group_count, &
         group_feature, pair_first, pair_atom, pair_place, pair_unit, pair_value, group_atom_first, group_value_first, &
         group_atom, group_value, with_forces, first_atom, feature_factor, force_ref, &
         atom_weight, first_direction, first_change, change, derivative_ref, direction_weight, with_gradient, n_threads, &
         energy, force, derivative, gradient, loss, ierr, errmsg)
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
      integer, intent(in), target :: radial_count(:)
      integer, intent(in), target :: radial_half(:)
      real(wp), intent(in), target :: weight(:, :)
      integer, intent(in), target :: group_count(:, :)
      integer, intent(in), target :: group_feature(:, :, :, :)
      integer(i8), intent(in), target :: pair_first(:)
      integer, intent(in), target :: pair_atom(:)
      integer, intent(in), target :: pair_place(:)
      real(sp), intent(in), target :: pair_unit(:, :)
      real(sp), intent(in), target :: pair_value(:, :)
      integer(i8), intent(in), target :: group_atom_first(:)
      integer(i8), intent(in), target :: group_value_first(:)
      integer, intent(in), target :: group_atom(:)
      real(sp), intent(in), target :: group_value(:)
      integer, intent(in) :: with_forces
      integer(i8), intent(in), target :: first_atom(:)
      real(wp), intent(in), target :: feature_factor(:, :)
      real(wp), intent(in), target :: force_ref(:, :)
      real(wp), intent(in), target :: atom_weight(:)
      integer, intent(in), target :: first_direction(:)
      integer(i8), intent(in), target :: first_change(:)
      real(sp), intent(in), target :: change(:)
      real(wp), intent(in), target :: derivative_ref(:)
      real(wp), intent(in), target :: direction_weight(:)
      integer, intent(in) :: with_gradient
      integer, intent(in) :: n_threads
      real(wp), intent(inout) :: energy(:)
      real(wp), intent(inout) :: force(:, :)
      real(wp), intent(inout) :: derivative(:)
      real(wp), intent(inout) :: gradient(:)
      real(wp), intent(out) :: loss
      integer, intent(out) :: ierr
      character(len=200), intent(out) :: errmsg
      type(error_type), allocatable :: error
      type(network_type), allocatable :: networks(:)
      type(pack_type) :: pack
      type(force_terms_type) :: terms
      integer :: n_weights, t
      type(stop_type) :: stop
      loss = 0.0_wp
      call new_networks(n_layers, n_nodes, codes, networks, n_weights, error)
      if (.not. allocated(error)) then
         pack = view_of_pack(size(features, kind=i8), panel_offset, panel_width, block_first, atom_offset, &
            atom_count)
         call check_pack(pack, networks, error)
         if (size(weights) /= n_weights .or. size(energy_ref) /= pack%n_structures .or. &
            size(factor) /= pack%n_structures .or. size(structure_weight) /= pack%n_structures .or. &
            size(energy) /= pack%n_structures .or. (with_gradient /= 0 .and. size(gradient) /= n_weights)) &
            call raise(error, error_size, "arrays of the loss have the wrong size")
         if (n_threads < 1) call raise(error, error_value, "the number of threads must be positive")
      end if
      if (.not. allocated(error)) then
         terms%with_forces = with_forces /= 0
         if (terms%with_forces) then
            terms%map = view_of_map(radial_count, radial_half, weight, group_count, &
         group_feature, pair_first, pair_atom, pair_place, pair_unit, pair_value, group_atom_first, group_value_first, &
         group_atom, group_value)
            call check_force_map(terms%map, size(atom_weight, kind=i8), [(networks(t)%n_nodes(1), t=1, size(networks))], error)
         end if
         terms%first_atom => first_atom
         terms%feature_factor => feature_factor
         terms%force_ref => force_ref
         terms%atom_weight => atom_weight
         terms%first_direction => first_direction
         terms%first_change => first_change
         terms%change => change
         terms%derivative_ref => derivative_ref
         terms%direction_weight => direction_weight
         call check_terms(terms, pack, networks, size(force, 2, kind=i8), size(derivative), error)
      end if
      if (.not. allocated(error)) call evaluate_force_loss(pack, features, networks, weights, energy_ref, factor, &
         structure_weight, terms, with_gradient /= 0, n_threads, energy, force, derivative, loss, gradient, stop)
      call report(error, ierr, errmsg)
   end subroutine force_loss

   !> Refuse arrays of forces and directions that do not fit the packed data set
   subroutine check_terms(terms, pack, networks, n_forces, n_derivatives, error)
      type(force_terms_type), intent(in) :: terms
      type(pack_type), intent(in) :: pack
      type(network_type), intent(in) :: networks(:)
      integer(i8), intent(in) :: n_forces
      integer, intent(in) :: n_derivatives
      type(error_type), allocatable, intent(inout) :: error
      integer :: s, t, n
      integer(i8) :: n_values
      n = pack%n_structures
      if (terms%with_forces) then
         if (size(terms%first_atom) /= n + 1 .or. size(terms%feature_factor, 2) /= pack%n_species .or. &
            any(shape(terms%force_ref, i8) /= [3_i8, n_forces]) .or. size(terms%atom_weight, kind=i8) /= n_forces) then
            call raise(error, error_size, "arrays of the forces have the wrong size")
            return
         end if
         do t = 1, pack%n_species
            if (networks(t)%n_nodes(1) > size(terms%feature_factor, 1)) &
               call raise(error, error_size, "the standardisation does not cover the descriptor")
         end do
         if (terms%first_atom(1) /= 0 .or. terms%first_atom(n + 1) /= n_forces) &
            call raise(error, error_size, "atom ranges of the structures do not cover the forces")
         do s = 1, n
            if (terms%first_atom(s + 1) - terms%first_atom(s) /= sum(pack%atom_count(:, s))) then
               call raise(error, error_size, "a structure has as many forces as it has not atoms")
               return
            end if
         end do
      end if
      if (size(terms%first_direction) /= n + 1 .or. size(terms%first_change) /= n + 1 .or. &
         size(terms%derivative_ref) /= n_derivatives .or. size(terms%direction_weight) /= n_derivatives) then
         call raise(error, error_size, "arrays of the directions have the wrong size")
         return
      end if
      if (terms%first_direction(1) /= 0 .or. terms%first_direction(n + 1) /= n_derivatives .or. &
         terms%first_change(1) /= 0 .or. terms%first_change(n + 1) /= size(terms%change, kind=i8)) &
         call raise(error, error_size, "offsets of the directions point outside their arrays")
      do s = 1, n
         n_values = 0
         do t = 1, pack%n_species
            n_values = n_values + int(pack%atom_count(t, s), i8)*networks(t)%n_nodes(1)
         end do
         if (terms%first_direction(s + 1) < terms%first_direction(s) .or. &
            terms%first_change(s + 1) - terms%first_change(s) /= &
            n_values*(terms%first_direction(s + 1) - terms%first_direction(s))) then
            call raise(error, error_size, "the directions of a structure do not fit its descriptors")
            return
         end if
      end do
   end subroutine check_terms

end module tf_api_forces
