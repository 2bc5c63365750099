!> What Python sees of structures: neighbours and the cutoff function.
!>
!> As in all modules of this kind: every procedure checks the sizes of its arrays, because nobody else does, and reports
!> failure through its last two arguments, which the wrapper turns into an exception.  NumPy owns all arrays; those of a
!> batch of structures, and those that outlive a call, come as `views` (see tf_views).
module tf_api_structures
   use tf_kinds, only : wp, i8
   use tf_batch, only : batch_type
   use tf_cutoff, only : cosine_cutoff
   use tf_error, only : error_type, raise, report, error_size, error_value
   use tf_neighbours, only : neighbour_list_type, build_neighbour_list
   use tf_views, only : view_batch
   implicit none
   private
   public :: list_handle, cutoff, list_build, list_sizes, list_copy

   !> A neighbour list that serves for many steps
   type :: list_handle
      type(neighbour_list_type) :: list
   end type list_handle

contains

   !> \brief Cosine cutoff function and its derivative (1/Å) at distances r (Å).
   subroutine cutoff(r, r_cut, fc, dfc_dr)
      !> (n) all three arrays
      real(wp), intent(in), contiguous :: r(:)
      !> Cutoff, Å
      real(wp), intent(in) :: r_cut
      real(wp), intent(inout), contiguous :: fc(:)
      real(wp), intent(inout), contiguous :: dfc_dr(:)
      type(error_type), allocatable :: error

      if (size(fc) /= size(r) .or. size(dfc_dr) /= size(r)) then
         call raise(error, error_size, "arrays of the cutoff function differ in size")
      else
         call cosine_cutoff(size(r), r, r_cut, fc, dfc_dr)
      end if
      call report(error)
   end subroutine cutoff

   !> \brief Make the neighbour list of a structure.
   subroutine list_build(self, structure, reach, n_threads, wrapped)
      type(list_handle), intent(inout) :: self
      !> Arrays of a batch of one structure, see `view_batch`
      integer(i8), intent(in), contiguous :: structure(:, :)
      !> Distance up to which atoms are neighbours, Å
      real(wp), intent(in) :: reach
      !> Threads of the call
      integer, intent(in) :: n_threads
      !> (3, n_atoms) positions wrapped into the cell, Å: the neighbours are images of atoms there
      real(wp), intent(inout), contiguous :: wrapped(:, :)
      type(error_type), allocatable :: error
      type(batch_type) :: batch

      call view_batch(structure, huge(1), batch, error)
      if (batch%n /= 1) call raise(error, error_size, "one structure is needed")
      if (.not. (reach > 0.0_wp)) call raise(error, error_value, "the cutoff must be positive")
      if (.not. allocated(error)) call build_neighbour_list(batch%position, batch%cell(:, :, 1), &
         batch%periodic(:, 1) /= 0, reach, self%list, error, n_threads)
      if (.not. allocated(error)) then
         if (any(shape(wrapped) /= shape(self%list%position))) then
            call raise(error, error_size, "arrays of the neighbour list have the wrong size")
         else
            wrapped = self%list%position
         end if
      end if
      call report(error, 1)
   end subroutine list_build

   !> \brief Images in a neighbour list, and pairs of an atom and an image.
   subroutine list_sizes(self, n_ghosts, n_pairs)
      type(list_handle), intent(in) :: self
      !> Images, and pairs of an atom and an image
      integer(i8), intent(out) :: n_ghosts
      !> Pairs there are
      integer(i8), intent(out) :: n_pairs

      n_ghosts = self%list%n_ghosts
      n_pairs = 0
      if (allocated(self%list%ghost)) n_pairs = size(self%list%ghost, kind=i8)
   end subroutine list_sizes

   !> \brief Copy a list: ghost(first(i) + 1 : first(i + 1)) are the neighbours of atom i, images of ghost_atom.
   subroutine list_copy(self, first, ghost_atom, ghost_shift, ghost)
      type(list_handle), intent(in) :: self
      !> (n_atoms + 1), (n_ghosts), (3, n_ghosts) Å, (n_pairs)
      integer(i8), intent(inout), contiguous :: first(:)
      integer, intent(inout), contiguous :: ghost_atom(:)
      real(wp), intent(inout), contiguous :: ghost_shift(:, :)
      integer, intent(inout), contiguous :: ghost(:)
      type(error_type), allocatable :: error

      associate (list => self%list)
         if (.not. allocated(list%first)) then
            call raise(error, error_value, "the neighbour list is empty")
         else if (size(first) /= size(list%first) .or. size(ghost_atom) /= list%n_ghosts .or. &
            any(shape(ghost_shift) /= [3, list%n_ghosts]) .or. size(ghost, kind=i8) /= size(list%ghost, kind=i8)) then
            call raise(error, error_size, "arrays of the neighbour list have the wrong size")
         else
            first = list%first
            ghost_atom = list%atom
            ghost_shift = list%shift
            ghost = list%ghost
         end if
      end associate
      call report(error)
   end subroutine list_copy

end module tf_api_structures
