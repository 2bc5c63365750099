!> What Python sees of force maps: flat arrays in, flat arrays out.
!>
!> The rules of tf_api_structures hold here too.  Atoms of each structure are ordered by species.
module tf_api_force_maps
   use tf_kinds, only : wp, sp, i8
   use tf_error, only : error_type, raise, keep_first, report, error_size, error_value
   use tf_batch, only : check_batch
   use tf_descriptor, only : descriptor_type, new_descriptors
   use tf_force_map, only : force_map_type, view_of_map, check_force_map, structure_fits, add_changes, give_changes
   use tf_force_map_build, only : force_map_functions => force_map_tables, count_structure, fill_structure, &
      strain_of_structure
   use tf_radial_grid, only : fit_slopes
   use tf_stop, only : stop_type, must_stop
!$ use omp_lib, only : omp_get_thread_num
   implicit none
   private
   public :: force_map_tables, force_map_sizes, force_map_values, force_map_check, force_map_changes, strain_changes

contains

   !> \brief Which functions of the descriptors are kept as pairs and which in groups.
   subroutine force_map_tables(basis, n_function, function_kind, parameters, function_species, environment, &
         merged, radial_count, radial_half, weight, group_count, group_feature, ierr, errmsg)
      integer, intent(in) :: basis(:)
      integer, intent(in) :: n_function(:)
      integer, intent(in) :: function_kind(:)
      real(wp), intent(in) :: parameters(:, :)
      integer, intent(in) :: function_species(:, :)
      integer, intent(in) :: environment(:, :)
      integer, intent(in) :: merged
      integer, intent(inout) :: radial_count(:)
      integer, intent(inout) :: radial_half(:)
      real(wp), intent(inout) :: weight(:, :)
      integer, intent(inout) :: group_count(:, :)
      integer, intent(inout) :: group_feature(:, :, :, :)
      integer, intent(out) :: ierr
      character(len=200), intent(out) :: errmsg
      type(error_type), allocatable :: error
      type(descriptor_type), allocatable :: descriptors(:)
      integer :: n
      n = size(basis)
      call new_descriptors(basis, n_function, function_kind, parameters, function_species, environment, descriptors, error)
      if (.not. allocated(error)) then
         if (size(radial_count) /= n .or. size(radial_half) /= n .or. any(shape(weight) /= n) .or. &
            any(shape(group_count) /= n) .or. &
            any(shape(group_feature) /= [2, maxval(descriptors%n_feature), n, n])) &
            call raise(error, error_size, "tables of the force map have the wrong size")
      end if
      if (.not. allocated(error)) call force_map_functions(descriptors, merged /= 0, radial_count, radial_half, weight, &
         group_count, group_feature)
      call report(error, ierr, errmsg)
   end subroutine force_map_tables

   !> \brief Numbers of pairs of each atom, and of neighbours in each of its groups.
   subroutine force_map_sizes(basis, n_function, function_kind, parameters, function_species, environment, &
         first_atom, position, cell, periodic, species, merged, n_threads, n_pairs, n_neighbours, ierr, errmsg)
      integer, intent(in) :: basis(:)
      integer, intent(in) :: n_function(:)
      integer, intent(in) :: function_kind(:)
      real(wp), intent(in) :: parameters(:, :)
      integer, intent(in) :: function_species(:, :)
      integer, intent(in) :: environment(:, :)
      integer, intent(in) :: first_atom(:)
      real(wp), intent(in) :: position(:, :)
      real(wp), intent(in) :: cell(:, :, :)
      integer, intent(in) :: periodic(:, :)
      integer, intent(in) :: species(:)
      integer, intent(in) :: merged
      integer, intent(in) :: n_threads
      integer, intent(inout) :: n_pairs(:, :)
      integer, intent(inout) :: n_neighbours(:, :)
      integer, intent(out) :: ierr
      character(len=200), intent(out) :: errmsg
      type(error_type), allocatable :: error, error_here
      type(descriptor_type), allocatable :: descriptors(:)
      integer :: failed, s, a, b, n_s
      n_s = size(cell, 3)
      failed = 0
      call new_descriptors(basis, n_function, function_kind, parameters, function_species, environment, descriptors, error)
      call check_batch(n_s, size(basis), first_atom, position, cell, periodic, species, error)
      if (any(shape(n_pairs) /= [size(basis), size(species)]) .or. any(shape(n_neighbours) /= shape(n_pairs))) &
         call raise(error, error_size, "arrays for the numbers of neighbours have the wrong size")
      if (n_threads < 1) call raise(error, error_value, "the number of threads must be positive")
      if (.not. allocated(error)) then
         !$omp parallel do num_threads(n_threads) if(n_threads > 1) schedule(dynamic) default(shared) private(error_here, a, b)
         do s = 1, n_s
            a = first_atom(s) + 1
            b = first_atom(s + 1)
            call count_structure(descriptors, merged /= 0, position(:, a:b), cell(:, :, s), periodic(:, s) /= 0, &
               species(a:b), n_pairs(:, a:b), n_neighbours(:, a:b), error_here)
            call keep_first(s, error_here, failed, error)
         end do
         !$omp end parallel do
      end if
      call report(error, ierr, errmsg, failed)
   end subroutine force_map_sizes

   !> \brief Fill the values of the force map of structures of which the first has `offset` atoms of the map before it.
   subroutine force_map_values(basis, n_function, function_kind, parameters, function_species, environment, &
         first_atom, position, cell, periodic, species, merged, offset, radial_count, radial_half, weight, group_count, &
         group_feature, pair_first, pair_atom, pair_place, pair_unit, pair_value, group_atom_first, group_value_first, &
         group_atom, group_value, &
         n_threads, ierr, errmsg)
      integer, intent(in) :: basis(:)
      integer, intent(in) :: n_function(:)
      integer, intent(in) :: function_kind(:)
      real(wp), intent(in) :: parameters(:, :)
      integer, intent(in) :: function_species(:, :)
      integer, intent(in) :: environment(:, :)
      integer, intent(in) :: first_atom(:)
      real(wp), intent(in) :: position(:, :)
      real(wp), intent(in) :: cell(:, :, :)
      integer, intent(in) :: periodic(:, :)
      integer, intent(in) :: species(:)
      integer, intent(in) :: merged
      integer(i8), intent(in) :: offset
      integer, intent(in), target :: radial_count(:)
      integer, intent(in), target :: radial_half(:)
      real(wp), intent(in), target :: weight(:, :)
      integer, intent(in), target :: group_count(:, :)
      integer, intent(in), target :: group_feature(:, :, :, :)
      integer(i8), intent(in), target :: pair_first(:)
      integer, intent(inout), target :: pair_atom(:)
      integer, intent(inout), target :: pair_place(:)
      real(sp), intent(inout), target :: pair_unit(:, :)
      real(sp), intent(inout), target :: pair_value(:, :)
      integer(i8), intent(in), target :: group_atom_first(:)
      integer(i8), intent(in), target :: group_value_first(:)
      integer, intent(inout), target :: group_atom(:)
      real(sp), intent(inout), target :: group_value(:)
      integer, intent(in) :: n_threads
      integer, intent(out) :: ierr
      character(len=200), intent(out) :: errmsg
      type(error_type), allocatable :: error, error_here
      type(descriptor_type), allocatable :: descriptors(:)
      type(force_map_type) :: map
      real(wp), allocatable :: fit(:, :, :)
      integer :: failed, s, a, b, n_s, thread
      type(stop_type) :: stop
      n_s = size(cell, 3)
      failed = 0
      call new_descriptors(basis, n_function, function_kind, parameters, function_species, environment, descriptors, error)
      call check_batch(n_s, size(basis), first_atom, position, cell, periodic, species, error)
      if (n_threads < 1) call raise(error, error_value, "the number of threads must be positive")
      if (.not. allocated(error)) then
         map = view_of_map(radial_count, radial_half, weight, group_count, &
         group_feature, pair_first, pair_atom, pair_place, pair_unit, pair_value, group_atom_first, group_value_first, &
         group_atom, group_value)
         call check_force_map(map, (size(pair_first, kind=i8) - 1)/size(basis), descriptors%n_feature, error)
         if (offset < 0 .or. (offset + size(species))*size(basis) > size(pair_first, kind=i8) - 1) &
            call raise(error, error_size, "structures beyond the end of the force map")
         call fit_slopes(map%grid, fit)
      end if
      if (.not. allocated(error)) then
         !$omp parallel do num_threads(n_threads) if(n_threads > 1) schedule(dynamic) default(shared) &
         !$omp private(error_here, a, b, thread) firstprivate(map)
         do s = 1, n_s
            thread = 0
            !$ thread = omp_get_thread_num()
            ! The calling thread is the one Python delivers Ctrl-C to
            if (must_stop(stop, thread == 0)) cycle
            a = first_atom(s) + 1
            b = first_atom(s + 1)
            call fill_structure(descriptors, merged /= 0, position(:, a:b), cell(:, :, s), periodic(:, s) /= 0, &
               species(a:b), offset + a - 1, fit, map, error_here)
            call keep_first(s, error_here, failed, error)
         end do
         !$omp end parallel do
      end if
      call report(error, ierr, errmsg, failed)
   end subroutine force_map_values

   !> \brief Refuse a map that names atoms outside their structures: done once, not at every use.
   subroutine force_map_check(n_features, first_atom, species, radial_count, radial_half, weight, group_count, &
         group_feature, pair_first, pair_atom, pair_place, pair_unit, pair_value, group_atom_first, group_value_first, &
         group_atom, group_value, ierr, errmsg)
      integer, intent(in) :: n_features(:)
      integer(i8), intent(in) :: first_atom(:)
      integer, intent(in) :: species(:)
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
      integer, intent(out) :: ierr
      character(len=200), intent(out) :: errmsg
      type(error_type), allocatable :: error
      type(force_map_type) :: map
      integer :: s, n_s
      map = view_of_map(radial_count, radial_half, weight, group_count, &
         group_feature, pair_first, pair_atom, pair_place, pair_unit, pair_value, group_atom_first, group_value_first, &
         group_atom, group_value)
      n_s = size(first_atom) - 1
      call check_force_map(map, size(species, kind=i8), n_features, error)
      if (n_s < 0) then
         call raise(error, error_size, "atom ranges of the structures do not cover the atoms")
      else if (first_atom(1) /= 0 .or. first_atom(n_s + 1) /= size(species) .or. any(first_atom(2:) < first_atom(:n_s))) then
         call raise(error, error_size, "atom ranges of the structures do not cover the atoms")
      end if
      if (any(species < 1) .or. any(species > size(n_features))) &
         call raise(error, error_value, "a species index is out of range")
      if (.not. allocated(error)) then
         do s = 1, n_s
            associate (atoms => species(first_atom(s) + 1:first_atom(s + 1)))
            if (any(atoms(2:) < atoms(:size(atoms) - 1))) call raise(error, error_value, "atoms are not in order of species")
            if (.not. structure_fits(map, first_atom(s), atoms)) &
               call raise(error, error_size, "the force map of a structure has atoms, places or groups that do not fit")
            end associate
         end do
      end if
      call report(error, ierr, errmsg)
   end subroutine force_map_check

   !> \brief Changes of the standardised descriptors of a structure, whose map this is, along displacements.
   subroutine force_map_changes(n_features, species, factor, radial_count, radial_half, weight, group_count, &
         group_feature, pair_first, pair_atom, pair_place, pair_unit, pair_value, group_atom_first, group_value_first, &
         group_atom, group_value, displacement, change, ierr, errmsg)
      integer, intent(in) :: n_features(:)
      integer, intent(in) :: species(:)
      real(wp), intent(in) :: factor(:, :)
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
      real(wp), intent(in) :: displacement(:, :, :)
      real(sp), intent(inout) :: change(:, :)
      integer, intent(out) :: ierr
      character(len=200), intent(out) :: errmsg
      type(error_type), allocatable :: error
      type(force_map_type) :: map
      real(wp), allocatable :: radial(:, :, :), group(:, :, :), parities(:), columns(:), move(:, :), g(:)
      integer, allocatable :: atoms(:)
      integer :: v, t, n, f, l, n_of, first, at, n_values
      map = view_of_map(radial_count, radial_half, weight, group_count, &
         group_feature, pair_first, pair_atom, pair_place, pair_unit, pair_value, group_atom_first, group_value_first, &
         group_atom, group_value)
      n = size(species)
      call check_force_map(map, int(n, i8), n_features, error)
      if (any(species < 1) .or. any(species > size(n_features))) &
         call raise(error, error_value, "a species index is out of range")
      if (size(displacement, 1) /= 3 .or. size(displacement, 2) /= n .or. size(change, 2) /= size(displacement, 3) .or. &
         size(factor, 1) < maxval(n_features) .or. size(factor, 2) /= size(n_features)) &
         call raise(error, error_size, "arrays of the directions do not match")
      if (.not. allocated(error)) then
         atoms = species
         n_values = sum(n_features(atoms))
         if (size(change, 1) /= n_values) call raise(error, error_size, "arrays of the directions do not match")
         if (.not. structure_fits(map, 0_i8, atoms)) &
            call raise(error, error_size, "the force map of a structure has atoms, places or groups that do not fit")
      end if
      if (.not. allocated(error)) then
         allocate (radial(map%grid%n_points, map%n_species, n), group(map%n_group, map%n_species, n), move(4, n))
         allocate (parities(4*map%grid%n_half*n), columns(map%grid%n_columns*n), g(n*maxval(n_features)))
         do v = 1, size(displacement, 3)
            move(:3, :) = displacement(:, :, v)
            move(4, :) = 0.0_wp
            call add_changes(map, 0_i8, n, atoms, move, radial, group)
            ! As a panel: for each species its features, for each of these its atoms
            first = 0
            at = 0
            do t = 1, map%n_species
               n_of = count(atoms == t)
               if (n_of == 0) cycle
               call give_changes(map, t, n_of, n_features(t), radial(1, 1, first + 1), group(1, 1, first + 1), parities, &
                  columns, g)
               l = 0
               do f = 1, n_features(t)
                  change(at + 1:at + n_of, v) = real(factor(f, t)*g(l + 1:l + n_of), sp)
                  l = l + n_of
                  at = at + n_of
               end do
               first = first + n_of
            end do
         end do
      end if
      call report(error, ierr, errmsg)
   end subroutine force_map_changes

   !> \brief Derivatives of the raw descriptors of structures with respect to the strains xx, yy, zz, yz, xz, xy.
   subroutine strain_changes(basis, n_function, function_kind, parameters, function_species, environment, &
         first_atom, position, cell, periodic, species, n_threads, values, ierr, errmsg)
      integer, intent(in) :: basis(:)
      integer, intent(in) :: n_function(:)
      integer, intent(in) :: function_kind(:)
      real(wp), intent(in) :: parameters(:, :)
      integer, intent(in) :: function_species(:, :)
      integer, intent(in) :: environment(:, :)
      integer, intent(in) :: first_atom(:)
      real(wp), intent(in) :: position(:, :)
      real(wp), intent(in) :: cell(:, :, :)
      integer, intent(in) :: periodic(:, :)
      integer, intent(in) :: species(:)
      integer, intent(in) :: n_threads
      real(wp), intent(inout) :: values(:, :)
      integer, intent(out) :: ierr
      character(len=200), intent(out) :: errmsg
      type(error_type), allocatable :: error, error_here
      type(descriptor_type), allocatable :: descriptors(:)
      integer, allocatable :: first_value(:)
      integer :: failed, s, a, b, i, n_s
      n_s = size(cell, 3)
      failed = 0
      call new_descriptors(basis, n_function, function_kind, parameters, function_species, environment, descriptors, error)
      call check_batch(n_s, size(basis), first_atom, position, cell, periodic, species, error)
      if (n_threads < 1) call raise(error, error_value, "the number of threads must be positive")
      if (.not. allocated(error)) then
         allocate (first_value(size(species) + 1))
         first_value(1) = 0
         do i = 1, size(species)
            first_value(i + 1) = first_value(i) + descriptors(species(i))%n_feature
         end do
         if (any(shape(values) /= [first_value(size(species) + 1), 6])) &
            call raise(error, error_size, "array for the strain derivatives has the wrong size")
      end if
      if (.not. allocated(error)) then
         !$omp parallel do num_threads(n_threads) if(n_threads > 1) schedule(dynamic) default(shared) private(error_here, a, b)
         do s = 1, n_s
            a = first_atom(s) + 1
            b = first_atom(s + 1)
            call strain_of_structure(descriptors, position(:, a:b), cell(:, :, s), periodic(:, s) /= 0, species(a:b), &
               first_value(a:b + 1) - first_value(a), values(first_value(a) + 1:first_value(b + 1), :), error_here)
            call keep_first(s, error_here, failed, error)
         end do
         !$omp end parallel do
      end if
      call report(error, ierr, errmsg, failed)
   end subroutine strain_changes

end module tf_api_force_maps
