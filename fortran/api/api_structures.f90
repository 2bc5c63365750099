!> What Python sees of structures and descriptors: flat arrays in, flat arrays out.
!>
!> Every procedure checks the sizes of its arrays, because nobody else does, and reports failure through
!> its last two arguments, which the wrapper turns into an exception.  NumPy owns all arrays.
module tf_api_structures
   use tf_kinds, only : wp, i8
   use tf_error, only : error_type, raise, keep_first, report, error_size, error_value
   use tf_cutoff, only : cosine_cutoff
   use tf_neighbours, only : neighbour_list_type, build_neighbour_list, place_ghosts
   use tf_descriptor, only : descriptor_type, new_descriptors, descriptor_work_type, new_descriptor_work, &
      descriptor_scratch_type, new_descriptor_scratch, descriptor_values, descriptor_gradient, check_species
   use tf_structures, only : describe_structure
   use tf_workspace, only : workspace_type
   use tf_batch, only : check_batch, worthwhile_threads
   use tf_stop, only : stop_type, must_stop
!$ use omp_lib, only : omp_get_thread_num
   implicit none
   private
   public :: cutoff, neighbours, describe, descriptor_derivative

contains

   !> \brief Cosine cutoff function and its derivative (1/Å) at distances r (Å).
   subroutine cutoff(r, r_cut, fc, dfc_dr, ierr, errmsg)
      real(wp), intent(in) :: r(:)
      real(wp), intent(in) :: r_cut
      real(wp), intent(inout) :: fc(:)
      real(wp), intent(inout) :: dfc_dr(:)
      integer, intent(out) :: ierr
      character(len=200), intent(out) :: errmsg
      type(error_type), allocatable :: error
      if (size(fc) /= size(r) .or. size(dfc_dr) /= size(r)) then
         call raise(error, error_size, "arrays of the cutoff function differ in size")
      else
         call cosine_cutoff(size(r), r, r_cut, fc, dfc_dr)
      end if
      call report(error, ierr, errmsg)
   end subroutine cutoff

   !> \brief Neighbours of all atoms: `n_pairs` is always set, the arrays only if they are long enough.
   subroutine neighbours(position, cell, periodic, reach, first, atom, vector, n_pairs, ierr, errmsg)
      real(wp), intent(in) :: position(:, :)
      real(wp), intent(in) :: cell(:, :)
      integer, intent(in) :: periodic(:)
      real(wp), intent(in) :: reach
      integer(i8), intent(inout) :: first(:)
      integer, intent(inout) :: atom(:)
      real(wp), intent(inout) :: vector(:, :)
      integer(i8), intent(out) :: n_pairs
      integer, intent(out) :: ierr
      character(len=200), intent(out) :: errmsg
      type(error_type), allocatable :: error
      type(neighbour_list_type) :: list
      integer :: i, g
      integer(i8) :: k
      n_pairs = 0
      if (size(position, 1) /= 3 .or. any(shape(cell) /= 3) .or. size(periodic) /= 3 .or. &
         size(first) /= size(position, 2) + 1 .or. size(vector, 1) /= 3 .or. size(vector, 2) /= size(atom)) &
         call raise(error, error_size, "arrays of the neighbour list have the wrong size")
      if (.not. (reach > 0.0_wp)) call raise(error, error_value, "the cutoff must be positive")
      if (.not. allocated(error)) call build_neighbour_list(position, cell, periodic /= 0, reach, list, error)
      if (.not. allocated(error)) then
         first = list%first
         n_pairs = list%first(list%n_atoms + 1)
         if (size(atom) >= n_pairs) then
            do i = 1, list%n_atoms
               do k = list%first(i) + 1, list%first(i + 1)
                  g = list%ghost(k)
                  atom(k) = list%atom(g)
                  vector(:, k) = list%position(:, list%atom(g)) + list%shift(:, g) - list%position(:, i)
               end do
            end do
         end if
      end if
      call report(error, ierr, errmsg)
   end subroutine neighbours

   !> \brief Descriptors of a batch of structures, each in one or more displaced copies.
   subroutine describe(basis, n_function, function_kind, parameters, function_species, environment, first_atom, position, cell, periodic, &
         species, n_copies, displacement, n_threads, values, placed, ierr, errmsg)
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
      integer, intent(in) :: n_copies(:)
      real(wp), intent(in) :: displacement(:, :)
      integer, intent(in) :: n_threads
      real(wp), intent(inout) :: values(:)
      real(wp), intent(inout) :: placed(:, :)
      integer, intent(out) :: ierr
      character(len=200), intent(out) :: errmsg
      type(error_type), allocatable :: error, error_here
      type(workspace_type), allocatable :: spaces(:)
      integer :: failed
      type(descriptor_type), allocatable :: descriptors(:)
      integer(i8), allocatable :: copy_offset(:), value_offset(:)
      integer, allocatable :: n_values(:)
      integer :: s, n_s, inner, n, thread, outer
      type(stop_type) :: stop

      failed = 0
      n_s = size(n_copies)
      call new_descriptors(basis, n_function, function_kind, parameters, function_species, environment, descriptors, error)
      call check_batch(n_s, size(basis), first_atom, position, cell, periodic, species, error)
      if (n_threads < 1) call raise(error, error_value, "the number of threads must be positive")
      if (.not. allocated(error)) then
         allocate (copy_offset(n_s + 1), value_offset(n_s + 1), n_values(n_s))
         copy_offset(1) = 0
         value_offset(1) = 0
         do s = 1, n_s
            n = first_atom(s + 1) - first_atom(s)
            n_values(s) = sum(descriptors(species(first_atom(s) + 1:first_atom(s + 1)))%n_feature)
            copy_offset(s + 1) = copy_offset(s) + int(n, i8)*n_copies(s)
            value_offset(s + 1) = value_offset(s) + int(n_values(s), i8)*n_copies(s)
         end do
         if (any(n_copies < 0) .or. any(shape(displacement, i8) /= [3_i8, copy_offset(n_s + 1)]) .or. &
            any(shape(placed, i8) /= [3_i8, copy_offset(n_s + 1)]) .or. &
            size(values, kind=i8) /= value_offset(n_s + 1)) &
            call raise(error, error_size, "arrays of the displaced copies have the wrong size")
      end if
      if (.not. allocated(error)) then
         ! Many structures: one thread each; few: all threads on each
         outer = merge(n_threads, 1, n_s >= 2*n_threads)
         inner = merge(1, worthwhile_threads(n_threads, copy_offset(n_s + 1)/max(n_s, 1)), n_s >= 2*n_threads)
         !$omp parallel num_threads(outer) if(outer > 1) default(shared) private(error_here, thread, spaces)
         allocate (spaces(inner))
         thread = 0
         !$ thread = omp_get_thread_num()
         !$omp do schedule(dynamic)
         do s = 1, n_s
            ! The calling thread is the one Python delivers Ctrl-C to
            if (must_stop(stop, thread == 0)) cycle
            call describe_one(s, spaces, error_here)
            call keep_first(s, error_here, failed, error)
         end do
         !$omp end do
         !$omp end parallel
      end if
      call report(error, ierr, errmsg, failed)

   contains

      subroutine describe_one(s, spaces, error)
         integer, intent(in) :: s
         type(workspace_type), intent(inout) :: spaces(:)
         type(error_type), allocatable, intent(inout) :: error
         integer, allocatable :: first_value(:)
         integer :: a, n, i
         integer(i8) :: c0, c1, v0, v1
         a = first_atom(s)
         n = first_atom(s + 1) - a
         allocate (first_value(n + 1))
         first_value(1) = 0
         do i = 1, n
            first_value(i + 1) = first_value(i) + descriptors(species(a + i))%n_feature
         end do
         c0 = copy_offset(s)
         c1 = copy_offset(s + 1)
         v0 = value_offset(s)
         v1 = value_offset(s + 1)
         call describe_shaped(n, n_copies(s), n_values(s), a, cell(:, :, s), periodic(:, s) /= 0, &
            displacement(:, c0 + 1:c1), first_value, values(v0 + 1:v1), placed(:, c0 + 1:c1), spaces, error)
      end subroutine describe_one

      subroutine describe_shaped(n, n_c, n_v, a, lattice, is_periodic, shift, first_value, value, place, spaces, error)
         integer, intent(in) :: n, n_c, n_v, a, first_value(n + 1)
         real(wp), intent(in) :: lattice(3, 3), shift(3, n, n_c)
         logical, intent(in) :: is_periodic(3)
         real(wp), intent(inout) :: value(n_v, n_c), place(3, n, n_c)
         type(workspace_type), intent(inout) :: spaces(:)
         type(error_type), allocatable, intent(inout) :: error
         call describe_structure(descriptors, position(:, a + 1:a + n), lattice, is_periodic, &
            species(a + 1:a + n), shift, spaces, first_value, value, place, error)
      end subroutine describe_shaped

   end subroutine describe

   !> \brief Derivative of Σ_f g_f G_f of one atom with respect to all positions (1/Å).
   subroutine descriptor_derivative(basis, n_function, function_kind, parameters, function_species, environment, position, cell, periodic, &
         species, atom, g, derivative, ierr, errmsg)
      integer, intent(in) :: basis(:)
      integer, intent(in) :: n_function(:)
      integer, intent(in) :: function_kind(:)
      real(wp), intent(in) :: parameters(:, :)
      integer, intent(in) :: function_species(:, :)
      integer, intent(in) :: environment(:, :)
      real(wp), intent(in) :: position(:, :)
      real(wp), intent(in) :: cell(:, :)
      integer, intent(in) :: periodic(:)
      integer, intent(in) :: species(:)
      integer, intent(in) :: atom
      real(wp), intent(in) :: g(:)
      real(wp), intent(inout) :: derivative(:, :)
      integer, intent(out) :: ierr
      character(len=200), intent(out) :: errmsg
      type(error_type), allocatable :: error
      type(descriptor_type), allocatable :: descriptors(:)
      type(descriptor_work_type) :: work
      type(descriptor_scratch_type) :: scratch
      type(neighbour_list_type) :: list
      real(wp), allocatable :: ghosts(:, :)
      integer, allocatable :: species_here(:)
      real(wp), allocatable :: g_here(:), values(:)
      integer :: k, j
      call new_descriptors(basis, n_function, function_kind, parameters, function_species, environment, descriptors, error)
      if (size(position, 1) /= 3 .or. any(shape(cell) /= 3) .or. size(periodic) /= 3 .or. &
         size(species) /= size(position, 2) .or. any(shape(derivative) /= shape(position)) .or. &
         atom < 1 .or. atom > size(species)) call raise(error, error_size, "structure arrays have the wrong size")
      if (.not. allocated(error)) call check_species(descriptors, species, error)
      if (.not. allocated(error)) then
         if (size(g) /= descriptors(species(atom))%n_feature) &
            call raise(error, error_size, "one factor per descriptor value is needed")
      end if
      if (.not. allocated(error)) call build_neighbour_list(position, cell, periodic /= 0, &
         descriptors(species(atom))%cutoff, list, error)
      if (.not. allocated(error)) then
         allocate (ghosts(list%n_ghosts, 3))
         call place_ghosts(list, list%position, ghosts)
         call new_descriptor_work(descriptors, list%n_most, work)
         species_here = species
         g_here = g
         call new_descriptor_scratch(descriptors, list%n_most, scratch)
         allocate (values(size(g)))
         call descriptor_values(descriptors, list, atom, list%position, ghosts, species_here, .true., work, scratch, &
            values, error)
      end if
      if (.not. allocated(error)) call descriptor_gradient(descriptors, species(atom), g_here, work, scratch)
      if (.not. allocated(error)) then
         derivative = 0.0_wp
         do k = 1, work%around%n
            j = work%around%atom(k)
            derivative(1, j) = derivative(1, j) + work%around%gx(k)
            derivative(2, j) = derivative(2, j) + work%around%gy(k)
            derivative(3, j) = derivative(3, j) + work%around%gz(k)
            derivative(1, atom) = derivative(1, atom) - work%around%gx(k)
            derivative(2, atom) = derivative(2, atom) - work%around%gy(k)
            derivative(3, atom) = derivative(3, atom) - work%around%gz(k)
         end do
      end if
      call report(error, ierr, errmsg)
   end subroutine descriptor_derivative

end module tf_api_structures
