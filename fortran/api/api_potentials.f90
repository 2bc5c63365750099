!> What Python sees of potentials and committees: energies, forces, and neighbour lists that serve for many steps.
!>
!> The rules of tf_api_structures hold here too.  A committee is given as one potential whose networks,
!> weights, standardisations and energy scales run over the species of the first member, then of the second, …
module tf_api_potentials
   use tf_kinds, only : wp, i8
   use tf_error, only : error_type, raise, keep_first, report, error_size, error_value
   use tf_neighbours, only : neighbour_list_type, build_neighbour_list
   use tf_descriptor, only : new_descriptors, check_species
   use tf_centres, only : listed_centres_type, new_listed_centres
   use tf_network, only : new_networks
   use tf_potential, only : potential_type, new_potential, evaluation_type, evaluate_potential
   use tf_workspace, only : workspace_type
   use tf_batch, only : check_batch, worthwhile_threads
   use tf_stop, only : stop_type, must_stop
!$ use omp_lib, only : omp_get_thread_num
   implicit none
   private
   public :: neighbour_list, evaluate, evaluate_listed

contains

   !> \brief Build the neighbour list that `evaluate_listed` takes; sizes are always set, arrays only if long enough.
   !>
   !> ghost(first(i) + 1 : first(i + 1)) are the neighbours of atom i within `reach`: images of the atoms
   !> ghost_atom, shifted by ghost_shift from their places in `wrapped`.
   subroutine neighbour_list(position, cell, periodic, reach, wrapped, first, ghost_atom, ghost_shift, ghost, &
         n_ghosts, n_pairs, n_most, ierr, errmsg)
      real(wp), intent(in) :: position(:, :)
      real(wp), intent(in) :: cell(:, :)
      integer, intent(in) :: periodic(:)
      real(wp), intent(in) :: reach
      real(wp), intent(inout) :: wrapped(:, :)
      integer(i8), intent(inout) :: first(:)
      integer, intent(inout) :: ghost_atom(:)
      real(wp), intent(inout) :: ghost_shift(:, :)
      integer, intent(inout) :: ghost(:)
      integer(i8), intent(out) :: n_ghosts
      integer(i8), intent(out) :: n_pairs
      integer, intent(out) :: n_most
      integer, intent(out) :: ierr
      character(len=200), intent(out) :: errmsg
      type(error_type), allocatable :: error
      type(neighbour_list_type) :: list
      n_ghosts = 0
      n_pairs = 0
      n_most = 0
      if (size(position, 1) /= 3 .or. any(shape(cell) /= 3) .or. size(periodic) /= 3 .or. &
         any(shape(wrapped) /= shape(position)) .or. size(first) /= size(position, 2) + 1 .or. &
         size(ghost_shift, 1) /= 3 .or. size(ghost_shift, 2) /= size(ghost_atom)) &
         call raise(error, error_size, "arrays of the neighbour list have the wrong size")
      if (.not. allocated(error)) call build_neighbour_list(position, cell, periodic /= 0, reach, list, error)
      if (.not. allocated(error)) then
         n_ghosts = list%n_ghosts
         n_pairs = size(list%ghost, kind=i8)
         n_most = list%n_most
         if (size(ghost_atom) >= n_ghosts .and. size(ghost) >= n_pairs) then
            wrapped = list%position
            first = list%first
            ghost_atom(:n_ghosts) = list%atom
            ghost_shift(:, :n_ghosts) = list%shift
            ghost(:n_pairs) = list%ghost
         end if
      end if
      call report(error, ierr, errmsg, 1)
   end subroutine neighbour_list

   !> \brief Energies, forces and strain derivatives of a batch of structures, by every member.
   subroutine evaluate(basis, n_function, function_kind, parameters, function_species, environment, n_layers, n_nodes, codes, weights, &
         feature_shift, feature_factor, energy_scale, energy_shift, energy_atomic, first_atom, position, cell, &
         periodic, species, with_forces, n_threads, atomic_energy, force, strain, values, ierr, errmsg)
      integer, intent(in) :: basis(:)
      integer, intent(in) :: n_function(:)
      integer, intent(in) :: function_kind(:)
      real(wp), intent(in) :: parameters(:, :)
      integer, intent(in) :: function_species(:, :)
      integer, intent(in) :: environment(:, :)
      integer, intent(in) :: n_layers(:)
      integer, intent(in) :: n_nodes(:)
      integer, intent(in) :: codes(:)
      real(wp), intent(in) :: weights(:)
      real(wp), intent(in) :: feature_shift(:, :)
      real(wp), intent(in) :: feature_factor(:, :)
      real(wp), intent(in) :: energy_scale(:)
      real(wp), intent(in) :: energy_shift(:)
      real(wp), intent(in) :: energy_atomic(:)
      integer, intent(in) :: first_atom(:)
      real(wp), intent(in) :: position(:, :)
      real(wp), intent(in) :: cell(:, :, :)
      integer, intent(in) :: periodic(:, :)
      integer, intent(in) :: species(:)
      integer, intent(in) :: with_forces
      integer, intent(in) :: n_threads
      real(wp), intent(inout) :: atomic_energy(:, :)
      real(wp), intent(inout) :: force(:, :, :)
      real(wp), intent(inout) :: strain(:, :, :, :)
      real(wp), intent(inout) :: values(:, :)
      integer, intent(out) :: ierr
      character(len=200), intent(out) :: errmsg
      type(error_type), allocatable :: error, error_here
      type(workspace_type), allocatable :: spaces(:)
      type(potential_type) :: potential
      integer :: failed, n_s, s, outer, inner, thread
      type(stop_type) :: stop

      failed = 0
      n_s = size(cell, 3)
      call gather_potential(basis, n_function, function_kind, parameters, function_species, environment, n_layers, n_nodes, codes, weights, &
         feature_shift, feature_factor, energy_scale, energy_shift, energy_atomic, potential, error)
      call check_batch(n_s, size(basis), first_atom, position, cell, periodic, species, error)
      if (n_threads < 1) call raise(error, error_value, "the number of threads must be positive")
      if (any(shape(atomic_energy) /= [size(species), potential%n_members]) .or. &
         any(shape(force) /= [3, size(species), potential%n_members]) .or. &
         any(shape(strain) /= [3, 3, n_s, potential%n_members]) .or. size(values, 1) /= size(feature_shift, 1) .or. &
         (size(values, 2) /= 0 .and. size(values, 2) /= size(species))) &
         call raise(error, error_size, "arrays for the results have the wrong size")
      if (.not. allocated(error)) then
         outer = merge(n_threads, 1, n_s >= 2*n_threads)
         inner = merge(1, worthwhile_threads(n_threads, int(size(species)/max(n_s, 1), i8)), n_s >= 2*n_threads)
         !$omp parallel num_threads(outer) if(outer > 1) default(shared) private(error_here, thread, spaces)
         allocate (spaces(inner))
         thread = 0
         !$ thread = omp_get_thread_num()
         !$omp do schedule(dynamic)
         do s = 1, n_s
            ! The calling thread is the one Python delivers Ctrl-C to
            if (must_stop(stop, thread == 0)) cycle
            call evaluate_one(s, first_atom(s) + 1, first_atom(s + 1), spaces, error_here)
            call keep_first(s, error_here, failed, error)
         end do
         !$omp end do
         !$omp end parallel
      end if
      call report(error, ierr, errmsg, failed)

   contains

      subroutine evaluate_one(s, a, b, spaces, error)
         integer, intent(in) :: s, a, b
         type(workspace_type), intent(inout) :: spaces(:)
         type(error_type), allocatable, intent(inout) :: error
         type(neighbour_list_type), target :: list
         type(listed_centres_type) :: centres
         type(evaluation_type) :: wanted
         real(wp), allocatable, target :: energy_here(:, :), force_here(:, :, :), strain_here(:, :, :), values_here(:, :)

         call build_neighbour_list(position(:, a:b), cell(:, :, s), periodic(:, s) /= 0, potential%cutoff, list, error)
         if (.not. allocated(error)) call check_species(potential%descriptors, species(a:b), error)
         if (allocated(error)) return
         call new_listed_centres(list, list%position, species(a:b), centres)
         allocate (energy_here(b - a + 1, potential%n_members))
         wanted%atomic_energy => energy_here
         if (with_forces /= 0) then
            allocate (force_here(3, b - a + 1, potential%n_members), strain_here(3, 3, potential%n_members))
            wanted%force => force_here
            wanted%strain => strain_here
         end if
         if (size(values, 2) > 0) then
            allocate (values_here(size(values, 1), b - a + 1), source=0.0_wp)
            wanted%values => values_here
         end if
         call evaluate_potential(potential, centres, spaces, wanted, stop, error)
         if (allocated(error)) return
         atomic_energy(a:b, :) = energy_here
         if (allocated(force_here)) force(:, a:b, :) = force_here
         if (allocated(strain_here)) strain(:, :, s, :) = strain_here
         if (allocated(values_here)) values(:, a:b) = values_here
      end subroutine evaluate_one

   end subroutine evaluate

   !> \brief The same for one structure whose neighbour list exists, and how far it is outside the training set.
   !>
   !> The list reaches at least to every atom's cutoff; `position` is that of the atoms whose images the ghosts
   !> are, in the frame of the list's wrapped positions.
   subroutine evaluate_listed(basis, n_function, function_kind, parameters, function_species, environment, n_layers, n_nodes, codes, weights, &
         feature_shift, feature_factor, energy_scale, energy_shift, energy_atomic, feature_low, feature_high, &
         feature_unit, position, species, first, ghost_atom, ghost_shift, ghost, n_most, with_forces, n_threads, &
         atomic_energy, force, strain, excess, component, ierr, errmsg)
      integer, intent(in) :: basis(:)
      integer, intent(in) :: n_function(:)
      integer, intent(in) :: function_kind(:)
      real(wp), intent(in) :: parameters(:, :)
      integer, intent(in) :: function_species(:, :)
      integer, intent(in) :: environment(:, :)
      integer, intent(in) :: n_layers(:)
      integer, intent(in) :: n_nodes(:)
      integer, intent(in) :: codes(:)
      real(wp), intent(in) :: weights(:)
      real(wp), intent(in) :: feature_shift(:, :)
      real(wp), intent(in) :: feature_factor(:, :)
      real(wp), intent(in) :: energy_scale(:)
      real(wp), intent(in) :: energy_shift(:)
      real(wp), intent(in) :: energy_atomic(:)
      real(wp), intent(in) :: feature_low(:, :)
      real(wp), intent(in) :: feature_high(:, :)
      real(wp), intent(in) :: feature_unit(:, :)
      real(wp), intent(in), target, contiguous :: position(:, :)
      integer, intent(in) :: species(:)
      integer(i8), intent(in) :: first(:)
      integer, intent(in) :: ghost_atom(:)
      real(wp), intent(in) :: ghost_shift(:, :)
      integer, intent(in) :: ghost(:)
      integer, intent(in) :: n_most
      integer, intent(in) :: with_forces
      integer, intent(in) :: n_threads
      real(wp), intent(inout), target, contiguous :: atomic_energy(:, :)
      real(wp), intent(inout), target, contiguous :: force(:, :, :)
      real(wp), intent(inout), target, contiguous :: strain(:, :, :)
      real(wp), intent(inout), target, contiguous :: excess(:)
      integer, intent(inout), target, contiguous :: component(:)
      integer, intent(out) :: ierr
      character(len=200), intent(out) :: errmsg
      type(error_type), allocatable :: error
      type(workspace_type), allocatable :: spaces(:)
      type(potential_type) :: potential
      type(neighbour_list_type), target :: list
      type(listed_centres_type) :: centres
      type(evaluation_type) :: wanted
      type(stop_type) :: stop
      integer :: n, failed

      failed = 0
      n = size(species)
      call gather_potential(basis, n_function, function_kind, parameters, function_species, environment, n_layers, n_nodes, codes, weights, &
         feature_shift, feature_factor, energy_scale, energy_shift, energy_atomic, potential, error)
      if (n_threads < 1) call raise(error, error_value, "the number of threads must be positive")
      if (any([shape(feature_low), shape(feature_high), shape(feature_unit)] /= &
         [size(feature_shift, 1), size(basis), size(feature_shift, 1), size(basis), size(feature_shift, 1), size(basis)])) &
         call raise(error, error_size, "arrays of the training set's range have the wrong size")
      if (any(shape(position) /= [3, n]) .or. size(first) /= n + 1 .or. &
         any(shape(ghost_shift) /= [3, size(ghost_atom)])) then
         call raise(error, error_size, "arrays of the neighbour list have the wrong size")
      else if (any(ghost_atom < 1) .or. any(ghost_atom > n) .or. first(1) /= 0 .or. &
         first(n + 1) /= size(ghost, kind=i8) .or. any(first(2:) < first(:n)) .or. any(first(2:) - first(:n) > n_most)) then
         call raise(error, error_value, "the neighbour list does not belong to the structure")
      else if (size(ghost) > 0) then
         if (minval(ghost) < 1 .or. maxval(ghost) > size(ghost_atom)) &
            call raise(error, error_value, "the neighbour list names images that do not exist")
      end if
      if (.not. all(abs(position) <= huge(1.0_wp))) call raise(error, error_value, "a position is not finite")
      if (any(shape(atomic_energy) /= [n, potential%n_members]) .or. &
         any(shape(force) /= [3, n, potential%n_members]) .or. any(shape(strain) /= [3, 3, potential%n_members]) .or. &
         (size(excess) /= 0 .and. size(excess) /= n) .or. size(component) /= size(excess)) &
         call raise(error, error_size, "arrays for the results have the wrong size")
      if (.not. allocated(error)) then
         failed = 1
         potential%feature_low = feature_low
         potential%feature_high = feature_high
         potential%feature_unit = feature_unit
         list%n_atoms = n
         list%n_ghosts = size(ghost_atom)
         list%n_most = n_most
         list%within = potential%cutoff
         list%atom = ghost_atom
         list%shift = ghost_shift
         list%first = first
         list%ghost = ghost
         allocate (spaces(worthwhile_threads(n_threads, int(n, i8))))
         call check_species(potential%descriptors, species, error)
         call new_listed_centres(list, position, species, centres)
         wanted%atomic_energy => atomic_energy
         if (with_forces /= 0) then
            wanted%force => force
            wanted%strain => strain
         else
            force = 0.0_wp
            strain = 0.0_wp
         end if
         if (size(excess) > 0) then
            wanted%excess => excess
            wanted%component => component
         end if
         if (.not. allocated(error)) call evaluate_potential(potential, centres, spaces, wanted, stop, error)
      end if
      call report(error, ierr, errmsg, failed)
   end subroutine evaluate_listed

   !> Check and gather the parts of a potential
   subroutine gather_potential(basis, n_function, function_kind, parameters, function_species, environment, n_layers, n_nodes, codes, weights, &
         feature_shift, feature_factor, energy_scale, energy_shift, energy_atomic, potential, error)
      integer, intent(in) :: basis(:), n_function(:), function_kind(:), function_species(:, :), environment(:, :)
      integer, intent(in) :: n_layers(:), n_nodes(:), codes(:)
      real(wp), intent(in) :: parameters(:, :), weights(:), feature_shift(:, :), feature_factor(:, :), &
         energy_scale(:), energy_shift(:), energy_atomic(:)
      type(potential_type), intent(out) :: potential
      type(error_type), allocatable, intent(inout) :: error
      integer :: n_weights

      call new_descriptors(basis, n_function, function_kind, parameters, function_species, environment, potential%descriptors, error)
      if (.not. allocated(error)) call new_networks(n_layers, n_nodes, codes, potential%networks, n_weights, error)
      if (allocated(error)) return
      potential%weights = weights
      potential%feature_shift = feature_shift
      potential%feature_factor = feature_factor
      potential%energy_scale = energy_scale
      potential%energy_shift = energy_shift
      potential%energy_atomic = energy_atomic
      call new_potential(potential, error)
   end subroutine gather_potential

end module tf_api_potentials
