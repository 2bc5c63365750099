!> The neighbours of one atom as plain arrays: what every descriptor works on.
module tf_surroundings
   use tf_kinds, only : wp, i8, padded
   use tf_constants, only : closest_distance
   use tf_neighbours, only : neighbour_list_type
   use tf_error, only : error_type, raise, check_memory, error_geometry
   implicit none
   private
   public :: surroundings_type, new_surroundings, gather, complete

   !> Neighbours of one atom; arrays are padded to a multiple of `lanes` with far-away entries
   type :: surroundings_type
      !> Neighbours, and the padded number
      integer :: n = 0, n_padded = 0
      !> Vectors to the neighbours and distances, Å
      real(wp), allocatable :: x(:), y(:), z(:), r(:)
      !> Species of each neighbour; 0 for padding
      integer, allocatable :: species(:)
      !> Atom of which each neighbour is an image; 0 for padding
      integer, allocatable :: atom(:)
      !> Derivative of a scalar with respect to the vectors x, y, z, where one was asked for
      real(wp), allocatable :: gx(:), gy(:), gz(:)
   end type surroundings_type

contains

   !> Room for up to n_most neighbours
   subroutine new_surroundings(n_most, around, error)
      !> Largest number of neighbours
      integer, intent(in) :: n_most
      type(surroundings_type), intent(out) :: around
      type(error_type), allocatable, intent(inout) :: error
      integer :: n, status

      n = max(padded(n_most), padded(1))
      allocate (around%x(n), around%y(n), around%z(n), around%r(n), around%species(n), around%atom(n), &
         around%gx(n), around%gy(n), around%gz(n), stat=status)
      call check_memory(status, "the neighbours of an atom", 64_i8*n, error)
   end subroutine new_surroundings

   !> Collect the neighbours of atom i
   subroutine gather(list, i, position, ghost_position, species, around, error, within)
      type(neighbour_list_type), intent(in) :: list
      integer, intent(in) :: i
      !> (3, n_atoms) and (n_ghosts, 3), Å
      real(wp), intent(in), contiguous :: position(:, :), ghost_position(:, :)
      !> (n_atoms)
      integer, intent(in), contiguous :: species(:)
      type(surroundings_type), intent(inout) :: around
      type(error_type), allocatable, intent(inout) :: error
      !> Leave out those that are further away, Å; by default none
      real(wp), intent(in), optional :: within
      real(wp) :: x0, y0, z0
      integer :: k, g, n
      integer(i8) :: start

      start = list%first(i)
      n = int(list%first(i + 1) - start)
      x0 = position(1, i)
      y0 = position(2, i)
      z0 = position(3, i)
      do k = 1, n
         g = list%ghost(start + k)
         around%x(k) = ghost_position(g, 1) - x0
         around%y(k) = ghost_position(g, 2) - y0
         around%z(k) = ghost_position(g, 3) - z0
      end do
      if (present(within)) then
         call keep_near(n, within**2, list%ghost(start + 1:start + n), around%x, around%y, around%z, &
            around%r, around%atom, k)
         n = k
      else
         around%atom(:n) = list%ghost(start + 1:start + n)
      end if
      call name_atoms(n, size(list%atom), list%atom, size(species), species, around%atom, around%species)
      call complete(n, i, around, error)
   end subroutine gather

   !> Pad the neighbours of atom i, whose vectors, atoms and species are set, and measure their distances
   subroutine complete(n, i, around, error)
      !> Neighbours, and the atom that has them
      integer, intent(in) :: n, i
      type(surroundings_type), intent(inout) :: around
      type(error_type), allocatable, intent(inout) :: error
      real(wp), parameter :: far = 1.0e6_wp
      integer :: k, too_close
      character(len=80) :: text

      around%n = n
      around%n_padded = padded(n)
      around%x(n + 1:around%n_padded) = far
      around%y(n + 1:around%n_padded) = 0.0_wp
      around%z(n + 1:around%n_padded) = 0.0_wp
      around%atom(n + 1:around%n_padded) = 0
      around%species(n + 1:around%n_padded) = 0
      call measure(around%n_padded, around%x, around%y, around%z, around%r, too_close)
      if (too_close > 0) then
         k = minloc(around%r(:n), dim=1)
         write (text, "(a,i0,a,i0,a)") "atoms ", i, " and ", around%atom(k), " (or images of them) coincide"
         call raise(error, error_geometry, trim(text))
      end if
   end subroutine complete

   !> Move the neighbours within the cutoff to the front, and put their ghosts into `kept`
   pure subroutine keep_near(n, within2, ghost, x, y, z, inside, kept, n_near)
      !> Neighbours before
      integer, intent(in) :: n
      !> Å²
      real(wp), intent(in) :: within2
      integer, intent(in) :: ghost(n)
      real(wp), intent(inout) :: x(n), y(n), z(n)
      !> Scratch: how far inside the cutoff, Å²
      real(wp), intent(inout) :: inside(n)
      integer, intent(inout) :: kept(n)
      integer, intent(out) :: n_near
      integer(i8) :: m
      integer :: k

      !$omp simd
      do k = 1, n
         inside(k) = within2 - (x(k)**2 + y(k)**2 + z(k)**2)
      end do
      m = 1
      ! Every neighbour is written, only the place depends on its distance, by the sign: no branch to mispredict
      do k = 1, n
         x(m) = x(k)
         y(m) = y(k)
         z(m) = z(k)
         kept(m) = ghost(k)
         m = m + (1_i8 + shifta(transfer(inside(k), 0_i8), 63))
      end do
      n_near = int(m - 1)
   end subroutine keep_near

   !> Atoms and species of neighbours whose ghosts are in `atom`: plain arrays, which compilers know to be apart
   pure subroutine name_atoms(n, n_ghosts, of_ghost, n_atoms, of_atom, atom, species)
      !> Neighbours; ghosts, and which atom each is; atoms, and their species
      integer, intent(in) :: n, n_ghosts, n_atoms
      integer, intent(in) :: of_ghost(n_ghosts), of_atom(n_atoms)
      integer, intent(inout) :: atom(n), species(n)
      integer :: k

      do k = 1, n
         atom(k) = of_ghost(atom(k))
         species(k) = of_atom(atom(k))
      end do
   end subroutine name_atoms

   !> Distances, and how many are impossibly short
   pure subroutine measure(n, x, y, z, r, too_close)
      !> Neighbours (padded), vectors to them, distances (Å)
      integer, intent(in) :: n
      real(wp), intent(in) :: x(n), y(n), z(n)
      real(wp), intent(out) :: r(n)
      integer, intent(out) :: too_close
      integer :: k

      too_close = 0
      !$omp simd reduction(+:too_close)
      do k = 1, n
         r(k) = sqrt(x(k)**2 + y(k)**2 + z(k)**2)
         too_close = too_close + merge(1, 0, r(k) < closest_distance)
      end do
   end subroutine measure

end module tf_surroundings
