!> Views of arrays that NumPy owns: Python passes for each a column (address, four extents), having checked type, order
!> and whether it may be written to, and keeps the arrays as long as there are views of them.
module tf_views
   use, intrinsic :: iso_c_binding, only : c_int32_t, c_intptr_t, c_null_ptr, c_ptr, c_f_pointer
   use tf_kinds, only : wp, sp, i8
   use tf_batch, only : batch_type, check_batch
   use tf_descriptor, only : descriptor_type
   use tf_error, only : error_type, raise, error_size, error_value
   implicit none
   private
   public :: view, check_views, view_batch, open_batch, view_token

   !> Numbers of a column
   integer, parameter :: column = 5

   !> array => the array of column k
   interface view
      module procedure view_real_1, view_real_2, view_real_3, view_single_1, view_single_2, view_single_3
      module procedure view_int_1, view_int_2, view_int_3, view_int_4, view_long_1, view_long_2
   end interface view

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
      call view(views, 1, batch%first_atom)
      call view(views, 2, batch%position)
      call view(views, 3, batch%cell)
      call view(views, 4, batch%periodic)
      call view(views, 5, batch%species)
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

   !> View a stop token, an array of one number; null if it has none
   subroutine view_token(views, k, token)
      !> (5, n) a column for each array, see tf_views
      integer(i8), intent(in) :: views(:, :)
      !> Column of the array in views
      integer, intent(in) :: k
      integer(c_int32_t), pointer, intent(out) :: token

      nullify (token)
      if (views(2, k) > 0) call c_f_pointer(address_of(views, k), token)
   end subroutine view_token

   !> Where the array of column k begins
   pure type(c_ptr) function address_of(views, k)
      !> (5, n) a column for each array, see tf_views
      integer(i8), intent(in) :: views(:, :)
      !> Column of the array in views
      integer, intent(in) :: k

      address_of = transfer(int(views(1, k), c_intptr_t), c_null_ptr)
   end function address_of

   subroutine view_real_1(views, k, array)
      !> (5, n) a column for each array, see tf_views
      integer(i8), intent(in) :: views(:, :)
      !> Column of the array in views
      integer, intent(in) :: k
      real(wp), pointer, contiguous, intent(out) :: array(:)

      call c_f_pointer(address_of(views, k), array, views(2:2, k))
   end subroutine view_real_1

   subroutine view_real_2(views, k, array)
      !> (5, n) a column for each array, see tf_views
      integer(i8), intent(in) :: views(:, :)
      !> Column of the array in views
      integer, intent(in) :: k
      real(wp), pointer, contiguous, intent(out) :: array(:, :)

      call c_f_pointer(address_of(views, k), array, views(2:3, k))
   end subroutine view_real_2

   subroutine view_real_3(views, k, array)
      !> (5, n) a column for each array, see tf_views
      integer(i8), intent(in) :: views(:, :)
      !> Column of the array in views
      integer, intent(in) :: k
      real(wp), pointer, contiguous, intent(out) :: array(:, :, :)

      call c_f_pointer(address_of(views, k), array, views(2:4, k))
   end subroutine view_real_3

   subroutine view_single_1(views, k, array)
      !> (5, n) a column for each array, see tf_views
      integer(i8), intent(in) :: views(:, :)
      !> Column of the array in views
      integer, intent(in) :: k
      real(sp), pointer, contiguous, intent(out) :: array(:)

      call c_f_pointer(address_of(views, k), array, views(2:2, k))
   end subroutine view_single_1

   subroutine view_single_2(views, k, array)
      !> (5, n) a column for each array, see tf_views
      integer(i8), intent(in) :: views(:, :)
      !> Column of the array in views
      integer, intent(in) :: k
      real(sp), pointer, contiguous, intent(out) :: array(:, :)

      call c_f_pointer(address_of(views, k), array, views(2:3, k))
   end subroutine view_single_2

   subroutine view_single_3(views, k, array)
      !> (5, n) a column for each array, see tf_views
      integer(i8), intent(in) :: views(:, :)
      !> Column of the array in views
      integer, intent(in) :: k
      real(sp), pointer, contiguous, intent(out) :: array(:, :, :)

      call c_f_pointer(address_of(views, k), array, views(2:4, k))
   end subroutine view_single_3

   subroutine view_int_1(views, k, array)
      !> (5, n) a column for each array, see tf_views
      integer(i8), intent(in) :: views(:, :)
      !> Column of the array in views
      integer, intent(in) :: k
      integer, pointer, contiguous, intent(out) :: array(:)

      call c_f_pointer(address_of(views, k), array, views(2:2, k))
   end subroutine view_int_1

   subroutine view_int_2(views, k, array)
      !> (5, n) a column for each array, see tf_views
      integer(i8), intent(in) :: views(:, :)
      !> Column of the array in views
      integer, intent(in) :: k
      integer, pointer, contiguous, intent(out) :: array(:, :)

      call c_f_pointer(address_of(views, k), array, views(2:3, k))
   end subroutine view_int_2

   subroutine view_int_3(views, k, array)
      !> (5, n) a column for each array, see tf_views
      integer(i8), intent(in) :: views(:, :)
      !> Column of the array in views
      integer, intent(in) :: k
      integer, pointer, contiguous, intent(out) :: array(:, :, :)

      call c_f_pointer(address_of(views, k), array, views(2:4, k))
   end subroutine view_int_3

   subroutine view_int_4(views, k, array)
      !> (5, n) a column for each array, see tf_views
      integer(i8), intent(in) :: views(:, :)
      !> Column of the array in views
      integer, intent(in) :: k
      integer, pointer, contiguous, intent(out) :: array(:, :, :, :)

      call c_f_pointer(address_of(views, k), array, views(2:5, k))
   end subroutine view_int_4

   subroutine view_long_1(views, k, array)
      !> (5, n) a column for each array, see tf_views
      integer(i8), intent(in) :: views(:, :)
      !> Column of the array in views
      integer, intent(in) :: k
      integer(i8), pointer, contiguous, intent(out) :: array(:)

      call c_f_pointer(address_of(views, k), array, views(2:2, k))
   end subroutine view_long_1

   subroutine view_long_2(views, k, array)
      !> (5, n) a column for each array, see tf_views
      integer(i8), intent(in) :: views(:, :)
      !> Column of the array in views
      integer, intent(in) :: k
      integer(i8), pointer, contiguous, intent(out) :: array(:, :)

      call c_f_pointer(address_of(views, k), array, views(2:3, k))
   end subroutine view_long_2

end module tf_views
