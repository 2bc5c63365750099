!> Views of arrays that NumPy owns: Python passes for each a column (address, four extents), having checked type, order
!> and whether it may be written to, and keeps the arrays as long as there are views of them.
module tf_views
   use, intrinsic :: iso_c_binding, only : c_int32_t, c_intptr_t, c_null_ptr, c_ptr, c_f_pointer
   use tf_kinds, only : i8
   use tf_batch, only : batch_type, check_batch
   use tf_descriptor, only : descriptor_type
   use tf_error, only : error_type, raise, error_size, error_value
   use tf_network, only : network_type, new_networks
   implicit none
   private
   public :: at, check_views, view_batch, open_batch, view_networks, view_token

   !> Numbers of a column
   integer, parameter :: column = 5

contains

   !> Refuse a table that has not n columns
   subroutine check_views(views, n, error)
      !> (5, n) a column for each array, see tf_views
      integer(i8), intent(in) :: views(:, :)
      !> Columns there must be
      integer, intent(in) :: n
      type(error_type), allocatable, intent(inout) :: error

      if (any(shape(views) /= [column, n])) call raise(error, error_size, "a table of arrays has the wrong size")
   end subroutine check_views

   !> View the arrays of a batch of structures and its stop token, and check them
   subroutine view_batch(views, n_species, batch, error)
      !> (5, n) a column for each array, see tf_views
      integer(i8), intent(in) :: views(:, :)
      !> Species there are descriptors for
      integer, intent(in) :: n_species
      type(batch_type), intent(out) :: batch
      type(error_type), allocatable, intent(inout) :: error

      call check_views(views, 6, error)
      if (allocated(error)) return
      call c_f_pointer(at(views, 1), batch%first_atom, views(2:2, 1))
      call c_f_pointer(at(views, 2), batch%position, views(2:3, 2))
      call c_f_pointer(at(views, 3), batch%cell, views(2:4, 3))
      call c_f_pointer(at(views, 4), batch%periodic, views(2:3, 4))
      call c_f_pointer(at(views, 5), batch%species, views(2:2, 5))
      call view_token(views, 6, batch%stop%token)
      batch%n = size(batch%cell, 3)
      call check_batch(batch, n_species, error)
   end subroutine view_batch

   !> View and check structures for descriptors that have been filled
   subroutine open_batch(descriptors, structures, n_threads, batch, error)
      type(descriptor_type), allocatable, intent(in) :: descriptors(:)
      !> Arrays of a batch, see `view_batch`
      integer(i8), intent(in) :: structures(:, :)
      !> Threads of the call
      integer, intent(in) :: n_threads
      type(batch_type), intent(out) :: batch
      type(error_type), allocatable, intent(inout) :: error

      if (.not. allocated(descriptors)) call raise(error, error_value, "the descriptors are empty")
      if (n_threads < 1) call raise(error, error_value, "the number of threads must be positive")
      if (.not. allocated(error)) call view_batch(structures, size(descriptors), batch, error)
   end subroutine open_batch

   !> Build networks from the columns k … k + 2: layers, nodes and codes (see `new_networks`)
   subroutine view_networks(views, k, networks, n_weights, error)
      !> (5, n) a column for each array, see tf_views
      integer(i8), intent(in) :: views(:, :)
      !> The first of the columns
      integer, intent(in) :: k
      type(network_type), allocatable, intent(inout) :: networks(:)
      !> Of all networks
      integer, intent(out) :: n_weights
      type(error_type), allocatable, intent(inout) :: error
      integer, pointer, contiguous :: n_layers(:), n_nodes(:), codes(:)

      call c_f_pointer(at(views, k), n_layers, views(2:2, k))
      call c_f_pointer(at(views, k + 1), n_nodes, views(2:2, k + 1))
      call c_f_pointer(at(views, k + 2), codes, views(2:2, k + 2))
      call new_networks(n_layers, n_nodes, codes, networks, n_weights, error)
   end subroutine view_networks

   !> View a stop token, an array of one number; null if it has none
   subroutine view_token(views, k, token)
      !> (5, n) a column for each array, see tf_views
      integer(i8), intent(in) :: views(:, :)
      !> Column of the array in views
      integer, intent(in) :: k
      integer(c_int32_t), pointer, intent(out) :: token

      nullify (token)
      if (views(2, k) > 0) call c_f_pointer(at(views, k), token)
   end subroutine view_token

   !> Where the array of column k begins
   pure type(c_ptr) function at(views, k)
      !> (5, n) a column for each array, see tf_views
      integer(i8), intent(in) :: views(:, :)
      !> Column of the array in views
      integer, intent(in) :: k

      at = transfer(int(views(1, k), c_intptr_t), c_null_ptr)
   end function at

end module tf_views
