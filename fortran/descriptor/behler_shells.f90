!> Neighbours of one atom sorted into shells: what all symmetry functions of a species and cutoff share.
module tf_behler_shells
   use tf_kinds, only : wp, lanes, padded, i8
   use tf_cutoff, only : cosine_cutoff_squared
   use tf_surroundings, only : surroundings_type
   use tf_behler_tables, only : shell_type
   use tf_error, only : error_type, check_memory
   implicit none
   private
   public :: shells_type, new_shells, fill_shells, room
   public :: col_x, col_y, col_z, col_r, col_square, col_inverse, col_f, col_slope, n_columns

   ! Columns of a shell: vector, distance, its square and inverse, cutoff function f, (df/dr)/r
   integer, parameter :: col_x = 1, col_y = 2, col_z = 3, col_r = 4, col_square = 5, col_inverse = 6, col_f = 7, &
      col_slope = 8, n_columns = 8

   !> All shells of an atom
   type :: shells_type
      !> (n_shells) neighbours in each shell
      integer, allocatable :: n(:)
      !> (n_most, n_columns, n_shells) padded with far-away entries
      real(wp), allocatable :: column(:, :, :)
      !> (n_most, n_shells) place in the surroundings
      integer, allocatable :: at(:, :)
   end type shells_type

contains

   !> Room for up to n_most neighbours in each of n_shells shells
   subroutine new_shells(n_most, n_shells, shells, error)
      !> Largest numbers of neighbours and of shells
      integer, intent(in) :: n_most, n_shells
      type(shells_type), intent(out) :: shells
      type(error_type), allocatable, intent(inout) :: error
      integer :: n, status

      n = room(n_most)
      allocate (shells%n(n_shells), shells%column(n, n_columns, n_shells), shells%at(n, n_shells), stat=status)
      call check_memory(status, "the scratch of descriptors", n_shells*(4_i8 + n*(8_i8*n_columns + 4)), error)
   end subroutine new_shells

   !> Rows of triples start anywhere in a shell and still are read in whole vectors
   pure integer function room(n_most)
      !> Largest number of neighbours
      integer, intent(in) :: n_most

      room = padded(n_most) + 2*lanes
   end function room

   !> Sort the neighbours into shells
   subroutine fill_shells(wanted, around, shells)
      type(shell_type), intent(in) :: wanted(:)
      type(surroundings_type), intent(in) :: around
      type(shells_type), intent(inout) :: shells
      real(wp), parameter :: far = 1.0e6_wp
      integer :: s, k, n, i

      do s = 1, size(wanted)
         n = 0
         do k = 1, around%n
            shells%at(n + 1, s) = k
            n = n + merge(1, 0, around%species(k) == wanted(s)%species .and. around%r(k) < wanted(s)%r_cut)
         end do
         shells%n(s) = n
         associate (shell => shells%column(:, :, s))
         do i = 1, n
            k = shells%at(i, s)
            shell(i, col_x) = around%x(k)
            shell(i, col_y) = around%y(k)
            shell(i, col_z) = around%z(k)
            shell(i, col_r) = around%r(k)
         end do
         k = padded(n) + lanes
         shell(n + 1:k, col_x) = far
         shell(n + 1:k, col_y) = 0.0_wp
         shell(n + 1:k, col_z) = 0.0_wp
         shell(n + 1:k, col_r) = far
         !$omp simd
         do i = 1, k
            shell(i, col_square) = shell(i, col_r)**2
            shell(i, col_inverse) = 1.0_wp/shell(i, col_r)
         end do
         call cosine_cutoff_squared(k, shell(:, col_square), wanted(s)%r_cut, shell(:, col_f), shell(:, col_slope))
         end associate
      end do
   end subroutine fill_shells

end module tf_behler_shells
