!> Force maps of several structures at a time, and strain derivatives of their descriptors.
module tf_force_map_batch
   use tf_kinds, only : wp, i8
   use tf_batch, only : batch_type
   use tf_descriptor, only : descriptor_type
   use tf_error, only : error_type, raise, check_memory, keep_first, error_size
   use tf_force_map, only : force_map_type
   use tf_force_map_build, only : count_structure, fill_structure, strain_of_structure
   use tf_force_map_plan, only : force_map_plan_type, new_plan, new_plan_of_map
   use tf_stop, only : watch
   implicit none
   private
   public :: count_batch, fill_batch, strain_batch

contains

   !> Numbers of pairs of each atom, and of neighbours in each of its groups; and those with everything in groups
   subroutine count_batch(descriptors, batch, n_threads, n_pairs, n_neighbours, n_merged, failed, error)
      type(descriptor_type), intent(in) :: descriptors(:)
      type(batch_type), intent(inout) :: batch
      integer, intent(in) :: n_threads
      !> (n_species, n_atoms) all three
      integer, intent(inout) :: n_pairs(:, :), n_neighbours(:, :), n_merged(:, :)
      !> Structure that the error is about, 0: none
      integer, intent(inout) :: failed
      type(error_type), allocatable, intent(inout) :: error
      type(error_type), allocatable :: error_here
      type(force_map_plan_type) :: plan
      integer :: s, a, b, done

      call new_plan(descriptors, .false., plan, error)
      if (allocated(error)) return
      done = 0
      !$omp parallel num_threads(n_threads) if(n_threads > 1) default(shared) private(error_here, a, b)
      !$omp do schedule(dynamic)
      do s = 1, batch%n
         a = batch%first_atom(s) + 1
         b = batch%first_atom(s + 1)
         call count_structure(descriptors, plan, batch%position(:, a:b), batch%cell(:, :, s), batch%periodic(:, s) /= 0, &
            batch%species(a:b), batch%stop, n_pairs(:, a:b), n_neighbours(:, a:b), n_merged(:, a:b), error_here)
         call keep_first(s, error_here, failed, error)
         !$omp atomic
         done = done + 1
      end do
      !$omp end do nowait
      call watch(batch%stop, done, batch%n)
      !$omp end parallel
   end subroutine count_batch

   !> Fill the part of a map that belongs to the structures
   subroutine fill_batch(descriptors, batch, merged, offset, n_threads, map_of_all, failed, error)
      type(descriptor_type), intent(in) :: descriptors(:)
      type(batch_type), intent(inout) :: batch
      !> Everything in groups?
      logical, intent(in) :: merged
      !> Atoms of the map before them
      integer(i8), intent(in) :: offset
      integer, intent(in) :: n_threads
      type(force_map_type), intent(in) :: map_of_all
      !> Structure that the error is about, 0: none
      integer, intent(inout) :: failed
      type(error_type), allocatable, intent(inout) :: error
      type(error_type), allocatable :: error_here
      type(force_map_type) :: map
      type(force_map_plan_type) :: plan
      integer :: s, a, b, done

      map = map_of_all
      call new_plan_of_map(descriptors, merged, map, plan, error)
      if (allocated(error)) return
      done = 0
      !$omp parallel num_threads(n_threads) if(n_threads > 1) default(shared) private(error_here, a, b) firstprivate(map)
      !$omp do schedule(dynamic)
      do s = 1, batch%n
         a = batch%first_atom(s) + 1
         b = batch%first_atom(s + 1)
         call fill_structure(descriptors, plan, batch%position(:, a:b), batch%cell(:, :, s), batch%periodic(:, s) /= 0, &
            batch%species(a:b), offset + a - 1, batch%stop, map, error_here)
         call keep_first(s, error_here, failed, error)
         !$omp atomic
         done = done + 1
      end do
      !$omp end do nowait
      call watch(batch%stop, done, batch%n)
      !$omp end parallel
   end subroutine fill_batch

   !> Derivatives of the raw descriptors with respect to the strains xx, yy, zz, yz, xz, xy
   subroutine strain_batch(descriptors, batch, n_threads, values, failed, error)
      type(descriptor_type), intent(in) :: descriptors(:)
      type(batch_type), intent(inout) :: batch
      integer, intent(in) :: n_threads
      !> (all values, 6)
      real(wp), intent(inout), contiguous :: values(:, :)
      !> Structure that the error is about, 0: none
      integer, intent(inout) :: failed
      type(error_type), allocatable, intent(inout) :: error
      type(error_type), allocatable :: error_here
      integer, allocatable :: first_value(:)
      integer :: s, a, b, i, done, status

      allocate (first_value(size(batch%species) + 1), stat=status)
      call check_memory(status, "the numbers of atoms", 4_i8*size(batch%species), error)
      if (allocated(error)) return
      first_value(1) = 0
      do i = 1, size(batch%species)
         first_value(i + 1) = first_value(i) + descriptors(batch%species(i))%n_feature
      end do
      if (any(shape(values) /= [first_value(size(batch%species) + 1), 6])) then
         call raise(error, error_size, "array for the strain derivatives has the wrong size")
         return
      end if
      done = 0
      !$omp parallel num_threads(n_threads) if(n_threads > 1) default(shared) private(error_here, a, b)
      !$omp do schedule(dynamic)
      do s = 1, batch%n
         a = batch%first_atom(s) + 1
         b = batch%first_atom(s + 1)
         call strain_of_structure(descriptors, batch%position(:, a:b), batch%cell(:, :, s), batch%periodic(:, s) /= 0, &
            batch%species(a:b), first_value(a:b + 1) - first_value(a), batch%stop, &
            values(first_value(a) + 1:first_value(b + 1), :), error_here)
         call keep_first(s, error_here, failed, error)
         !$omp atomic
         done = done + 1
      end do
      !$omp end do nowait
      call watch(batch%stop, done, batch%n)
      !$omp end parallel
   end subroutine strain_batch

end module tf_force_map_batch
