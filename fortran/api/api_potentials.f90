!> What Python sees of potentials and committees: energies, forces, virial.  The rules of tf_api_structures hold here too.
!>
!> A committee is one potential whose networks, weights, standardisations and energy scales run over the species of the
!> first member, then of the second, …
module tf_api_potentials
   use, intrinsic :: iso_c_binding, only : c_int32_t, c_f_pointer
   use tf_kinds, only : wp, i8
   use tf_api_descriptors, only : descriptors_handle
   use tf_api_structures, only : list_handle
   use tf_batch, only : batch_type, worthwhile_threads
   use tf_centres, only : listed_centres_type, new_listed_centres
   use tf_descriptor, only : check_species
   use tf_error, only : error_type, raise, check_memory, keep_first, report, error_size, error_value
   use tf_neighbours, only : neighbour_list_type, build_neighbour_list
   use tf_potential, only : potential_type, new_potential, evaluation_type, evaluate_potential, n_virial
   use tf_stop, only : stop_type, must_stop
   use tf_views, only : at, view_batch, view_networks, view_token, check_views
   use tf_workspace, only : workspace_type, workspace_pool_type
!$ use omp_lib, only : omp_get_thread_num
   implicit none
   private
   public :: potential_handle, potential_fill, evaluate, evaluate_listed, atom_virials

   !> A potential, or all members of a committee; empty until it has networks
   type :: potential_handle
      private
      type(potential_type) :: potential
      type(workspace_pool_type) :: pool
      integer(c_int32_t), pointer :: token => null()
   end type potential_handle

contains

   !> \brief Build a potential: copies of descriptors, networks and tables.
   subroutine potential_fill(self, descriptors, views)
      type(potential_handle), intent(inout) :: self
      type(descriptors_handle), intent(in) :: descriptors
      !> Layers, nodes and codes (see `new_networks`), weights, feature_shift, feature_factor, energy_scale, energy_shift,
      !> energy_atomic, feature_low, feature_high, feature_unit (see `potential_type`); stop token
      integer(i8), intent(in), contiguous :: views(:, :)
      type(error_type), allocatable :: error
      integer :: n_weights

      call check_views(views, 13, error)
      if (.not. allocated(descriptors%descriptors)) call raise(error, error_value, "the descriptors are empty")
      if (.not. allocated(error)) then
         call view_networks(views, 1, self%potential%networks, n_weights, error)
      end if
      if (.not. allocated(error)) then
         self%potential%descriptors = descriptors%descriptors
         call copy_tables(views, self%potential)
         call view_token(views, 13, self%token)
         call new_potential(self%potential, error)
      end if
      if (.not. allocated(error)) then
         associate (p => self%potential)
            if (any(shape(p%feature_low) /= [size(p%feature_shift, 1), size(p%descriptors)]) .or. &
               any(shape(p%feature_high) /= shape(p%feature_low)) .or. any(shape(p%feature_unit) /= shape(p%feature_low))) then
              call raise(error, error_size, "arrays of the training set's range have the wrong size")
            end if
         end associate
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
      !> As in `evaluation_type`, strain (3, 3, n_structures, n_members); of size 0 where not wanted, which forces and
      !> strains are together
      real(wp), intent(inout), contiguous :: atomic_energy(:, :)
      real(wp), intent(inout), contiguous :: force(:, :, :)
      real(wp), intent(inout), contiguous :: strain(:, :, :, :)
      real(wp), intent(inout), contiguous :: values(:, :)
      type(error_type), allocatable :: error, error_here
      type(workspace_type), allocatable :: spaces(:)
      type(batch_type) :: batch
      integer :: failed, n_s, s, n, n_members, outer, inner, thread
      type(stop_type) :: stop

      failed = 0
      call check_filled(self, n_threads, error)
      if (.not. allocated(error)) call view_batch(structures, size(self%potential%descriptors), batch, error)
      if (.not. allocated(error)) then
         n = size(batch%species)
         n_s = batch%n
         n_members = self%potential%n_members
         if (any(shape(atomic_energy) /= [n, n_members]) .or. &
            (size(force) /= 0 .and. any(shape(force) /= [3, n, n_members])) .or. &
            (size(force) /= 0 .and. any(shape(strain) /= [3, 3, n_s, n_members])) .or. &
            (size(values) /= 0 .and. any(shape(values) /= [size(self%potential%feature_shift, 1), n]))) then
           call raise(error, error_size, "arrays for the results have the wrong size")
         end if
      end if
      if (.not. allocated(error)) then
         stop%token => self%token
         outer = merge(n_threads, 1, n_s >= 2*n_threads)
         inner = merge(1, worthwhile_threads(n_threads, int(n/max(n_s, 1), i8)), n_s >= 2*n_threads)
         !$omp parallel num_threads(outer) if(outer > 1) default(shared) &
         !$omp& private(error_here, thread, spaces)
         call self%pool%take(inner, spaces, error_here)
         thread = 0
         !$ thread = omp_get_thread_num()
         !$omp do schedule(dynamic)
         do s = 1, n_s
            if (must_stop(stop, thread == 0)) cycle
            if (allocated(spaces)) call evaluate_one(s, batch%first_atom(s) + 1, batch%first_atom(s + 1), spaces, error_here)
            call keep_first(s, error_here, failed, error)
         end do
         !$omp end do
         call self%pool%keep(spaces)
         !$omp end parallel
      end if
      call report(error, failed)

   contains

      !> Structure s, which has the atoms a … b
      subroutine evaluate_one(s, a, b, spaces, error)
         !> Its number, first and last atom
         integer, intent(in) :: s, a, b
         type(workspace_type), intent(inout) :: spaces(:)
         type(error_type), allocatable, intent(inout) :: error
         type(neighbour_list_type), target :: list
         type(listed_centres_type) :: centres
         type(evaluation_type) :: wanted
         real(wp), allocatable, target :: energy_here(:, :), force_here(:, :, :), strain_here(:, :, :), values_here(:, :)
         integer :: n_force, n_value, status

         call build_neighbour_list(batch%position(:, a:b), batch%cell(:, :, s), batch%periodic(:, s) /= 0, &
            self%potential%cutoff, list, error, size(spaces))
         if (.not. allocated(error)) call check_species(self%potential%descriptors, batch%species(a:b), error)
         if (allocated(error)) return
         call new_listed_centres(list, list%position, batch%species(a:b), centres, error)
         n_force = merge(b - a + 1, 0, size(force) > 0)
         n_value = merge(b - a + 1, 0, size(values) > 0)
         allocate (energy_here(b - a + 1, n_members), force_here(3, n_force, n_members), strain_here(3, 3, n_members), &
            values_here(size(values, 1), n_value), stat=status)
         call check_memory(status, "the results of a structure", 8_i8*(n_members*(b - a + 10_i8 + 3*n_force) &
            + size(values, 1)*n_value), error)
         if (allocated(error)) return
         wanted%atomic_energy => energy_here
         if (size(force) > 0) then
            wanted%force => force_here
            wanted%strain => strain_here
         end if
         if (size(values) > 0) then
            values_here = 0.0_wp
            wanted%values => values_here
         end if
         call evaluate_potential(self%potential, centres, spaces, wanted, stop, error)
         if (allocated(error)) return
         atomic_energy(a:b, :) = energy_here
         if (n_force > 0) force(:, a:b, :) = force_here
         if (n_force > 0) strain(:, :, s, :) = strain_here
         if (n_value > 0) values(:, a:b) = values_here
      end subroutine evaluate_one

   end subroutine evaluate

   !> \brief The same for one structure whose neighbour list exists, and how far it is outside the training set.
   subroutine evaluate_listed(self, list, position, species, n_threads, atomic_energy, force, strain, excess, component)
      type(potential_handle), intent(inout) :: self
      !> Of the same atoms; it reaches at least to every atom's cutoff
      type(list_handle), intent(in) :: list
      !> (3, n_atoms) Å, in the frame of the list's wrapped positions
      real(wp), intent(in), contiguous :: position(:, :)
      !> (n_atoms)
      integer, intent(in), contiguous :: species(:)
      !> Threads of the call
      integer, intent(in) :: n_threads
      !> As in `evaluation_type`; of size 0 where not wanted, which forces and strain, excess and component are together
      real(wp), intent(inout), target, contiguous :: atomic_energy(:, :)
      real(wp), intent(inout), target, contiguous :: force(:, :, :)
      real(wp), intent(inout), target, contiguous :: strain(:, :, :)
      real(wp), intent(inout), target, contiguous :: excess(:)
      integer, intent(inout), target, contiguous :: component(:)
      type(error_type), allocatable :: error
      type(evaluation_type) :: wanted
      integer :: n, n_members

      n = size(species)
      call check_filled(self, n_threads, error)
      if (.not. allocated(error)) then
         n_members = self%potential%n_members
         call check_listed(self, list, position, species, error)
      end if
      if (.not. allocated(error)) then
         if (any(shape(atomic_energy) /= [n, n_members]) .or. &
            (size(force) /= 0 .and. (any(shape(force) /= [3, n, n_members]) .or. any(shape(strain) /= [3, 3, n_members]))) .or. &
            (size(excess) /= 0 .and. size(excess) /= n) .or. size(component) /= size(excess)) then
            call raise(error, error_size, "arrays for the results have the wrong size")
         end if
      end if
      if (.not. allocated(error)) then
         wanted%atomic_energy => atomic_energy
         if (size(force) > 0) then
            wanted%force => force
            wanted%strain => strain
         end if
         if (size(excess) > 0) then
            wanted%excess => excess
            wanted%component => component
         end if
         call evaluate_with_list(self, list%list, position, species, n_threads, wanted, error)
      end if
      call report(error, 1)
   end subroutine evaluate_listed

   !> \brief Virial of each atom of one structure whose neighbour list exists, a mean over the members.
   subroutine atom_virials(self, list, position, species, n_threads, virial)
      type(potential_handle), intent(inout) :: self
      !> As for `evaluate_listed`
      type(list_handle), intent(in) :: list
      real(wp), intent(in), contiguous :: position(:, :)
      integer, intent(in), contiguous :: species(:)
      !> Threads of the call
      integer, intent(in) :: n_threads
      !> (n_virial, n_atoms) as in `evaluation_type`
      real(wp), intent(inout), target, contiguous :: virial(:, :)
      type(error_type), allocatable :: error
      type(evaluation_type) :: wanted
      real(wp), allocatable, target :: energy(:, :), force(:, :, :), strain(:, :, :)
      integer :: status

      call check_filled(self, n_threads, error)
      if (.not. allocated(error)) call check_listed(self, list, position, species, error)
      if (.not. allocated(error)) then
         if (any(shape(virial) /= [n_virial, size(species)])) then
            call raise(error, error_size, "arrays for the results have the wrong size")
         end if
      end if
      if (.not. allocated(error)) then
         allocate (energy(size(species), self%potential%n_members), force(3, size(species), self%potential%n_members), &
            strain(3, 3, self%potential%n_members), stat=status)
         call check_memory(status, "the forces of members", 32_i8*(size(species) + 3)*self%potential%n_members, error)
      end if
      if (.not. allocated(error)) then
         wanted%atomic_energy => energy
         wanted%force => force
         wanted%strain => strain
         wanted%virial => virial
         call evaluate_with_list(self, list%list, position, species, n_threads, wanted, error)
      end if
      call report(error, 1)
   end subroutine atom_virials

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

   !> What is wanted of one structure with its list, everything checked
   subroutine evaluate_with_list(self, list, position, species, n_threads, wanted, error)
      type(potential_handle), intent(inout) :: self
      type(neighbour_list_type), intent(in), target :: list
      !> As for `evaluate_listed`; the centres keep a view of it
      real(wp), intent(in), target, contiguous :: position(:, :)
      integer, intent(in), contiguous :: species(:)
      integer, intent(in) :: n_threads
      type(evaluation_type), intent(in) :: wanted
      type(error_type), allocatable, intent(inout) :: error
      type(workspace_type), allocatable :: spaces(:)
      type(listed_centres_type) :: centres
      type(stop_type) :: stop

      call new_listed_centres(list, position, species, centres, error, within=self%potential%cutoff)
      if (allocated(error)) return
      stop%token => self%token
      call self%pool%take(worthwhile_threads(n_threads, int(size(species), i8)), spaces, error)
      if (allocated(error)) return
      call evaluate_potential(self%potential, centres, spaces, wanted, stop, error)
      call self%pool%keep(spaces)
   end subroutine evaluate_with_list

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
