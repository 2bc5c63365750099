!> Energies, forces and strain derivatives of several structures at a time.
module tf_potential_batch
   use tf_kinds, only : wp, i8
   use tf_batch, only : batch_type, worthwhile_threads
   use tf_centres, only : listed_centres_type, new_listed_centres
   use tf_descriptor, only : check_species
   use tf_error, only : error_type, raise, check_memory, keep_first, error_size
   use tf_neighbours, only : neighbour_list_type, build_neighbour_list
   use tf_potential, only : potential_type, evaluation_type, evaluate_potential
   use tf_stop, only : must_stop
   use tf_workspace, only : workspace_type, workspace_pool_type
!$ use omp_lib, only : omp_get_thread_num
   implicit none
   private
   public :: evaluate_batch

contains

   !> What every member says of the structures
   subroutine evaluate_batch(potential, pool, batch, n_threads, atomic_energy, force, strain, values, failed, error)
      type(potential_type), intent(in) :: potential
      type(workspace_pool_type), intent(inout) :: pool
      type(batch_type), intent(inout) :: batch
      integer, intent(in) :: n_threads
      !> As in `evaluation_type`, strain (3, 3, n_structures, n_members); of size 0 where not wanted, which forces and
      !> strains are together
      real(wp), intent(inout), contiguous :: atomic_energy(:, :), force(:, :, :), strain(:, :, :, :), values(:, :)
      !> Structure that the error is about, 0: none
      integer, intent(inout) :: failed
      type(error_type), allocatable, intent(inout) :: error
      type(error_type), allocatable :: error_here
      type(workspace_type), allocatable :: spaces(:)
      integer :: n_s, s, n, n_members, outer, inner, thread

      n = size(batch%species)
      n_s = batch%n
      n_members = potential%n_members
      if (any(shape(atomic_energy) /= [n, n_members]) .or. &
         (size(force) /= 0 .and. any(shape(force) /= [3, n, n_members])) .or. &
         (size(force) /= 0 .and. any(shape(strain) /= [3, 3, n_s, n_members])) .or. &
         (size(values) /= 0 .and. any(shape(values) /= [size(potential%feature_shift, 1), n]))) then
         call raise(error, error_size, "arrays for the results have the wrong size")
         return
      end if

      outer = merge(n_threads, 1, n_s >= 2*n_threads)
      inner = merge(1, worthwhile_threads(n_threads, int(n/max(n_s, 1), i8)), n_s >= 2*n_threads)
      !$omp parallel num_threads(outer) if(outer > 1) default(shared) &
      !$omp& private(error_here, thread, spaces)
      call pool%take(inner, spaces, error_here)
      thread = 0
      !$ thread = omp_get_thread_num()
      !$omp do schedule(dynamic)
      do s = 1, n_s
         if (must_stop(batch%stop, thread == 0)) cycle
         if (allocated(spaces)) call evaluate_one(s, batch%first_atom(s) + 1, batch%first_atom(s + 1), spaces, error_here)
         call keep_first(s, error_here, failed, error)
      end do
      !$omp end do
      call pool%keep(spaces)
      !$omp end parallel

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
            potential%cutoff, list, error, size(spaces))
         if (.not. allocated(error)) call check_species(potential%descriptors, batch%species(a:b), error)
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
         call evaluate_potential(potential, centres, spaces, wanted, batch%stop, error)
         if (allocated(error)) return
         atomic_energy(a:b, :) = energy_here
         if (n_force > 0) force(:, a:b, :) = force_here
         if (n_force > 0) strain(:, :, s, :) = strain_here
         if (n_value > 0) values(:, a:b) = values_here
      end subroutine evaluate_one

   end subroutine evaluate_batch

end module tf_potential_batch
