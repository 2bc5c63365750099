!> Derivatives of all descriptor values with respect to the neighbours, for files that others train from.
!>
!> Each value is a gradient with a unit vector as factors: simple rather than fast, for training and
!> prediction never need single derivatives.
module tf_api_derivatives
   use tf_kinds, only : wp, i8
   use tf_error, only : error_type, raise, report, error_size, error_value
   use tf_neighbours, only : neighbour_list_type, build_neighbour_list, place_ghosts
   use tf_descriptor, only : descriptor_type, new_descriptors, descriptor_work_type, new_descriptor_work, &
      descriptor_scratch_type, new_descriptor_scratch, descriptor_values, descriptor_gradient, check_species
   implicit none
   private
   public :: descriptor_derivatives

contains

   !> \brief Derivatives of the descriptors of atoms atom_first … atom_last (1/Å).
   !>
   !> Atom after atom, own gets (n_feature, 3) derivatives with respect to the atom's own position, and
   !> image (n_neighbour, n_feature, 3) those with respect to each neighbour within `reach`, in the order
   !> of tf_api_structures.neighbours for the same reach.
   subroutine descriptor_derivatives(basis, n_function, function_kind, parameters, function_species, environment, position, cell, periodic, &
         species, reach, atom_first, atom_last, n_threads, own, image, ierr, errmsg)
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
      real(wp), intent(in) :: reach
      integer, intent(in) :: atom_first
      integer, intent(in) :: atom_last
      integer, intent(in) :: n_threads
      real(wp), intent(inout) :: own(:)
      real(wp), intent(inout) :: image(:)
      integer, intent(out) :: ierr
      character(len=200), intent(out) :: errmsg
      type(error_type), allocatable :: error, error_here
      type(descriptor_type), allocatable :: descriptors(:)
      type(neighbour_list_type) :: list
      type(descriptor_work_type) :: work
      type(descriptor_scratch_type) :: scratch
      real(wp), allocatable :: ghosts(:, :)
      integer, allocatable :: species_here(:)
      integer(i8), allocatable :: own_offset(:), image_offset(:)
      integer(i8) :: n_neighbours
      integer :: i, n

      call new_descriptors(basis, n_function, function_kind, parameters, function_species, environment, descriptors, error)
      if (size(position, 1) /= 3 .or. any(shape(cell) /= 3) .or. size(periodic) /= 3 .or. &
         size(species) /= size(position, 2) .or. atom_first < 1 .or. atom_last > size(species) .or. &
         atom_first > atom_last) call raise(error, error_size, "structure arrays have the wrong size")
      if (n_threads < 1) call raise(error, error_value, "the number of threads must be positive")
      if (.not. allocated(error)) call check_species(descriptors, species, error)
      if (.not. allocated(error)) then
         if (.not. reach >= maxval(descriptors%cutoff)) &
            call raise(error, error_value, "derivatives are wanted within less than the cutoff")
      end if
      if (.not. allocated(error)) call build_neighbour_list(position, cell, periodic /= 0, reach, list, error)
      if (.not. allocated(error)) then
         allocate (own_offset(atom_first:atom_last + 1), image_offset(atom_first:atom_last + 1))
         own_offset(atom_first) = 0
         image_offset(atom_first) = 0
         do i = atom_first, atom_last
            n = descriptors(species(i))%n_feature
            n_neighbours = list%first(i + 1) - list%first(i)
            own_offset(i + 1) = own_offset(i) + 3*n
            image_offset(i + 1) = image_offset(i) + 3*n*n_neighbours
         end do
         if (size(own, kind=i8) /= own_offset(atom_last + 1) .or. &
            size(image, kind=i8) /= image_offset(atom_last + 1)) &
            call raise(error, error_size, "arrays of the derivatives have the wrong size")
      end if
      if (.not. allocated(error)) then
         allocate (ghosts(list%n_ghosts, 3))
         call place_ghosts(list, list%position, ghosts)
         species_here = species
         !$omp parallel num_threads(n_threads) default(shared) private(work, scratch, error_here, i)
         call new_descriptor_work(descriptors, list%n_most, work)
         call new_descriptor_scratch(descriptors, list%n_most, scratch)
         !$omp do schedule(dynamic)
         do i = atom_first, atom_last
            call derive(i, descriptors(species_here(i))%n_feature, int(list%first(i + 1) - list%first(i)), &
               work, scratch, own(own_offset(i) + 1:own_offset(i + 1)), &
               image(image_offset(i) + 1:image_offset(i + 1)), error_here)
            if (allocated(error_here)) then
               !$omp critical (tf_api_derivatives_error)
               call raise(error, error_here%code, error_here%message)
               !$omp end critical (tf_api_derivatives_error)
               deallocate (error_here)
            end if
         end do
         !$omp end do
         !$omp end parallel
      end if
      call report(error, ierr, errmsg, 1)

   contains

      subroutine derive(i, n_feature, n_neighbour, work, scratch, own, image, error)
         integer, intent(in) :: i, n_feature, n_neighbour
         type(descriptor_work_type), intent(inout) :: work
         type(descriptor_scratch_type), intent(inout) :: scratch
         real(wp), intent(inout) :: own(n_feature, 3), image(n_neighbour, n_feature, 3)
         type(error_type), allocatable, intent(inout) :: error
         real(wp) :: g(n_feature), values(n_feature)
         integer :: f
         call descriptor_values(descriptors, list, i, list%position, ghosts, species_here, .true., work, scratch, &
            values, error)
         if (allocated(error)) return
         if (work%around%n /= n_neighbour) then
            call raise(error, error_size, "the neighbours of an atom are not those of the list")
            return
         end if
         do f = 1, n_feature
            g = 0.0_wp
            g(f) = 1.0_wp
            call descriptor_gradient(descriptors, species_here(i), g, work, scratch)
            image(:, f, 1) = work%around%gx(:n_neighbour)
            image(:, f, 2) = work%around%gy(:n_neighbour)
            image(:, f, 3) = work%around%gz(:n_neighbour)
            own(f, :) = -sum(image(:, f, :), dim=1)
         end do
      end subroutine derive

   end subroutine descriptor_derivatives

end module tf_api_derivatives
