!> Derivatives of all descriptor values with respect to the neighbours, for files that others train from.
!>
!> Training and prediction never need single derivatives, force maps those of some values.
module tf_descriptor_derivatives
   use tf_kinds, only : wp, i8
   use tf_error, only : error_type, raise, check_memory, error_size, error_value
   use tf_neighbours, only : neighbour_list_type, build_neighbour_list, place_ghosts
   use tf_descriptor, only : descriptor_type, descriptor_work_type, new_descriptor_work, descriptor_scratch_type, &
      new_descriptor_scratch, descriptor_values, descriptor_gradients, check_species
   use tf_stop, only : stop_type, must_stop
   implicit none
   private
   public :: derivatives_of_atoms

contains

   !> Derivatives of the descriptors of atoms atom_first … atom_last (1/Å).
   !>
   !> Atom after atom, own gets (n_feature, 3) derivatives with respect to the atom's own position, and
   !> image (n_neighbour, n_feature, 3) those with respect to each neighbour within `reach`, in the order
   !> of the neighbour list for the same reach.
   subroutine derivatives_of_atoms(descriptors, position, cell, periodic, species, reach, atom_first, atom_last, n_threads, &
         own, image, stop, error)
      type(descriptor_type), intent(in) :: descriptors(:)
      !> (3, n_atoms) Å
      real(wp), intent(in), contiguous :: position(:, :)
      real(wp), intent(in) :: cell(3, 3)
      logical, intent(in) :: periodic(3)
      !> (n_atoms)
      integer, intent(in), contiguous :: species(:)
      !> Å, at least the largest cutoff
      real(wp), intent(in) :: reach
      integer, intent(in) :: atom_first, atom_last, n_threads
      real(wp), intent(inout), contiguous :: own(:), image(:)
      type(stop_type), intent(inout) :: stop
      type(error_type), allocatable, intent(inout) :: error
      type(error_type), allocatable :: error_here
      type(neighbour_list_type) :: list
      type(descriptor_work_type) :: work
      type(descriptor_scratch_type) :: scratch
      real(wp), allocatable :: ghosts(:, :)
      integer(i8), allocatable :: own_offset(:), image_offset(:)
      integer :: i, n, status
      logical :: ready

      call check_species(descriptors, species, error)
      if (.not. reach >= maxval(descriptors%cutoff)) then
        call raise(error, error_value, "derivatives are wanted within less than the cutoff")
      end if
      if (.not. allocated(error)) call build_neighbour_list(position, cell, periodic, reach, list, error)
      if (allocated(error)) return

      allocate (own_offset(atom_first:atom_last + 1), image_offset(atom_first:atom_last + 1), stat=status)
      call check_memory(status, "the derivatives of atoms", 16_i8*(atom_last - atom_first + 2), error)
      if (allocated(error)) return
      own_offset(atom_first) = 0
      image_offset(atom_first) = 0
      do i = atom_first, atom_last
         n = descriptors(species(i))%n_feature
         own_offset(i + 1) = own_offset(i) + 3*n
         image_offset(i + 1) = image_offset(i) + 3*n*(list%first(i + 1) - list%first(i))
      end do
      if (size(own, kind=i8) /= own_offset(atom_last + 1) .or. size(image, kind=i8) /= image_offset(atom_last + 1)) then
         call raise(error, error_size, "arrays of the derivatives have the wrong size")
         return
      end if

      allocate (ghosts(list%n_ghosts, 3), stat=status)
      call check_memory(status, "periodic images", 24_i8*list%n_ghosts, error)
      if (allocated(error)) return
      call place_ghosts(list, list%position, ghosts)
      ready = .true.
      !$omp parallel num_threads(n_threads) default(shared) private(work, scratch, error_here, i)
      call new_descriptor_work(descriptors, list%n_most, work, error_here)
      call new_descriptor_scratch(descriptors, list%n_most, scratch, error_here)
      if (allocated(error_here)) then
         !$omp critical (tf_derivatives_error)
         ready = .false.
         call raise(error, error_here%code, error_here%message)
         !$omp end critical (tf_derivatives_error)
         deallocate (error_here)
      end if
      ! All threads go on, or none
      !$omp barrier
      !$omp do schedule(dynamic)
      do i = atom_first, atom_last
         if (.not. ready) cycle
         if (must_stop(stop, .true.)) cycle
         call derive(descriptors, list, i, ghosts, species, descriptors(species(i))%n_feature, &
            int(list%first(i + 1) - list%first(i)), work, scratch, own(own_offset(i) + 1:own_offset(i + 1)), &
            image(image_offset(i) + 1:image_offset(i + 1)), error_here)
         if (allocated(error_here)) then
            !$omp critical (tf_derivatives_error)
            call raise(error, error_here%code, error_here%message)
            !$omp end critical (tf_derivatives_error)
            deallocate (error_here)
         end if
      end do
      !$omp end do
      !$omp end parallel
   end subroutine derivatives_of_atoms

   !> Derivatives of the descriptor of atom i
   subroutine derive(descriptors, list, i, ghosts, species, n_feature, n_neighbour, work, scratch, own, image, error)
      type(descriptor_type), intent(in) :: descriptors(:)
      type(neighbour_list_type), intent(in) :: list
      !> Atom
      integer, intent(in) :: i
      !> (n_ghosts, 3) Å
      real(wp), intent(in), contiguous :: ghosts(:, :)
      integer, intent(in), contiguous :: species(:)
      integer, intent(in) :: n_feature, n_neighbour
      type(descriptor_work_type), intent(inout) :: work
      type(descriptor_scratch_type), intent(inout) :: scratch
      real(wp), intent(inout) :: own(n_feature, 3), image(n_neighbour, n_feature, 3)
      type(error_type), allocatable, intent(inout) :: error
      real(wp), allocatable :: gradient(:, :, :)
      real(wp) :: values(n_feature)
      integer :: f, status

      call descriptor_values(descriptors, list, i, list%position, ghosts, species, .true., work, scratch, values, error)
      if (allocated(error)) return
      if (work%around%n /= n_neighbour) then
         call raise(error, error_size, "the neighbours of an atom are not those of the list")
         return
      end if
      allocate (gradient(n_neighbour, 3, n_feature), stat=status)
      call check_memory(status, "derivatives of descriptors", 24_i8*n_neighbour*n_feature, error)
      if (allocated(error)) return
      call descriptor_gradients(descriptors, species(i), [(f, f=1, n_feature)], work, scratch, gradient, error)
      if (allocated(error)) return
      do f = 1, n_feature
         image(:, f, :) = gradient(:, :, f)
         own(f, :) = -sum(image(:, f, :), dim=1)
      end do
   end subroutine derive

end module tf_descriptor_derivatives
