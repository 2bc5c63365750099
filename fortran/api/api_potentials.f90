!> What Python sees of potentials and committees: energies, forces, virial.  The rules of tf_api_structures hold here too.
!>
!> A committee is one potential whose networks, weights, standardisations and energy scales run over the species of the
!> first member, then of the second, …
module tf_api_potentials
   use, intrinsic :: iso_c_binding, only : c_f_pointer
   use tf_kinds, only : wp, i8
   use tf_api_descriptors, only : descriptors_handle
   use tf_api_structures, only : list_handle
   use tf_batch, only : batch_type, worthwhile_threads
   use tf_centres, only : listed_centres_type, new_listed_centres
   use tf_descriptor, only : check_species
   use tf_error, only : error_type, raise, report, error_size, error_value
   use tf_potential, only : potential_type, new_potential, evaluation_type, evaluate_potential, n_virial
   use tf_potential_batch, only : evaluate_batch
   use tf_stop, only : stop_type
   use tf_views, only : at, view_batch, view_networks, check_views
   use tf_workspace, only : workspace_type, workspace_pool_type
   implicit none
   private
   public :: potential_handle, potential_fill, evaluate, evaluate_listed

   !> A potential, or all members of a committee; empty until it has networks
   type :: potential_handle
      private
      type(potential_type) :: potential
      type(workspace_pool_type) :: pool
   end type potential_handle

contains

   !> \brief Build a potential: copies of descriptors, networks and tables.
   subroutine potential_fill(self, descriptors, views)
      type(potential_handle), intent(inout) :: self
      type(descriptors_handle), intent(in) :: descriptors
      !> Layers, nodes and codes (see `new_networks`), weights, feature_shift, feature_factor, energy_scale, energy_shift,
      !> energy_atomic, feature_low, feature_high, feature_unit (see `potential_type`)
      integer(i8), intent(in), contiguous :: views(:, :)
      type(error_type), allocatable :: error
      integer :: n_weights

      call check_views(views, 12, error)
      if (.not. allocated(descriptors%descriptors)) call raise(error, error_value, "the descriptors are empty")
      if (.not. allocated(error)) call view_networks(views, 1, self%potential%networks, n_weights, error)
      if (.not. allocated(error)) then
         self%potential%descriptors = descriptors%descriptors
         call copy_tables(views, self%potential)
         call new_potential(self%potential, error)
      end if
      if (allocated(error) .and. allocated(self%potential%networks)) deallocate (self%potential%networks)
      call report(error)
   end subroutine potential_fill

   !> Copy the tables of a potential
   subroutine copy_tables(views, potential)
      !> (5, n) a column for each array, see tf_views
      integer(i8), intent(in), contiguous :: views(:, :)
      type(potential_type), intent(inout) :: potential
      real(wp), pointer, contiguous :: one(:), two(:, :)

      call c_f_pointer(at(views, 4), one, views(2:2, 4))
      potential%weights = one
      call c_f_pointer(at(views, 5), two, views(2:3, 5))
      potential%feature_shift = two
      call c_f_pointer(at(views, 6), two, views(2:3, 6))
      potential%feature_factor = two
      call c_f_pointer(at(views, 7), one, views(2:2, 7))
      potential%energy_scale = one
      call c_f_pointer(at(views, 8), one, views(2:2, 8))
      potential%energy_shift = one
      call c_f_pointer(at(views, 9), one, views(2:2, 9))
      potential%energy_atomic = one
      call c_f_pointer(at(views, 10), two, views(2:3, 10))
      potential%feature_low = two
      call c_f_pointer(at(views, 11), two, views(2:3, 11))
      potential%feature_high = two
      call c_f_pointer(at(views, 12), two, views(2:3, 12))
      potential%feature_unit = two
   end subroutine copy_tables

   !> \brief Energies, forces and strain derivatives of a batch of structures, by every member.
   subroutine evaluate(self, structures, n_threads, atomic_energy, force, strain, values)
      type(potential_handle), intent(inout) :: self
      !> Arrays of a batch, see `view_batch`
      integer(i8), intent(in), contiguous :: structures(:, :)
      !> Threads of the call
      integer, intent(in) :: n_threads
      !> As for `evaluate_batch`
      real(wp), intent(inout), contiguous :: atomic_energy(:, :)
      real(wp), intent(inout), contiguous :: force(:, :, :)
      real(wp), intent(inout), contiguous :: strain(:, :, :, :)
      real(wp), intent(inout), contiguous :: values(:, :)
      type(error_type), allocatable :: error
      type(batch_type) :: batch
      integer :: failed

      failed = 0
      call check_filled(self, n_threads, error)
      if (.not. allocated(error)) call view_batch(structures, size(self%potential%descriptors), batch, error)
      if (.not. allocated(error)) call evaluate_batch(self%potential, self%pool, batch, n_threads, atomic_energy, force, &
         strain, values, failed, error)
      call report(error, failed)
   end subroutine evaluate

   !> \brief The same for one structure whose neighbour list exists, virials, and how far it is outside the training set.
   subroutine evaluate_listed(self, list, position, species, n_threads, atomic_energy, force, strain, virial, outside)
      type(potential_handle), intent(inout) :: self
      !> Of the same atoms; it reaches at least to every atom's cutoff
      type(list_handle), intent(in) :: list
      !> (3, n_atoms) Å, in the frame of the list's wrapped positions
      real(wp), intent(in), target, contiguous :: position(:, :)
      !> (n_atoms)
      integer, intent(in), contiguous :: species(:)
      !> Threads of the call
      integer, intent(in) :: n_threads
      !> As in `evaluation_type`; of size 0 where not wanted, which forces and strain are together; virials need these
      real(wp), intent(inout), target, contiguous :: atomic_energy(:, :)
      real(wp), intent(inout), target, contiguous :: force(:, :, :)
      real(wp), intent(inout), target, contiguous :: strain(:, :, :)
      real(wp), intent(inout), target, contiguous :: virial(:, :)
      !> (n_atoms, 2) excess and component of `evaluation_type`, but this from 0; or of size 0
      real(wp), intent(inout), target, contiguous :: outside(:, :)
      type(error_type), allocatable :: error
      type(evaluation_type) :: wanted
      type(listed_centres_type) :: centres
      type(workspace_type), allocatable :: spaces(:)
      type(stop_type) :: stop
      integer, target :: component(size(outside, 1))
      integer :: n

      n = size(species)
      call check_filled(self, n_threads, error)
      if (.not. allocated(error)) call check_listed(self, list, position, species, error)
      if (.not. allocated(error)) then
         associate (m => self%potential%n_members)
            if (any(shape(atomic_energy) /= [n, m]) .or. any(shape(outside) /= [n, 2]) .and. size(outside) /= 0 .or. &
               (any(shape(force) /= [3, n, m]) .or. any(shape(strain) /= [3, 3, m])) .and. size(force) /= 0 .or. &
               (any(shape(virial) /= [n_virial, n]) .or. size(force) == 0) .and. size(virial) /= 0) then
               call raise(error, error_size, "arrays for the results have the wrong size")
            end if
         end associate
      end if
      if (.not. allocated(error)) call new_listed_centres(list%list, position, species, centres, error, &
         within=self%potential%cutoff)
      if (.not. allocated(error)) call self%pool%take(worthwhile_threads(n_threads, int(n, i8)), spaces, error)
      if (.not. allocated(error)) then
         wanted%atomic_energy => atomic_energy
         if (size(force) > 0) then
            wanted%force => force
            wanted%strain => strain
         end if
         if (size(virial) > 0) wanted%virial => virial
         if (size(outside) > 0) then
            wanted%excess => outside(:, 1)
            wanted%component => component
         end if
         call evaluate_potential(self%potential, centres, spaces, wanted, stop, error)
         call self%pool%keep(spaces)
         if (size(outside) > 0) outside(:, 2) = component - 1
      end if
      call report(error, 1)
   end subroutine evaluate_listed

   !> Refuse a list of other atoms or of too short a reach, and positions that are no numbers
   subroutine check_listed(self, list, position, species, error)
      type(potential_handle), intent(in) :: self
      type(list_handle), intent(in) :: list
      !> (3, n_atoms), (n_atoms)
      real(wp), intent(in), contiguous :: position(:, :)
      integer, intent(in), contiguous :: species(:)
      type(error_type), allocatable, intent(inout) :: error

      if (.not. allocated(list%list%first)) then
         call raise(error, error_value, "the neighbour list is empty")
      else if (list%list%n_atoms /= size(species) .or. any(shape(position) /= [3, size(species)])) then
         call raise(error, error_size, "the neighbour list does not belong to the structure")
      else if (list%list%reach < self%potential%cutoff) then
         call raise(error, error_value, "the neighbour list reaches less far than the potential")
      else if (.not. all(abs(position) <= huge(1.0_wp))) then
         call raise(error, error_value, "a position is not finite")
      else
         call check_species(self%potential%descriptors, species, error)
      end if
   end subroutine check_listed

   !> Refuse an empty potential, and no threads
   subroutine check_filled(self, n_threads, error)
      type(potential_handle), intent(in) :: self
      !> Threads of the call
      integer, intent(in) :: n_threads
      type(error_type), allocatable, intent(inout) :: error

      if (.not. allocated(self%potential%networks)) call raise(error, error_value, "the potential is empty")
      if (n_threads < 1) call raise(error, error_value, "the number of threads must be positive")
   end subroutine check_filled

end module tf_api_potentials
