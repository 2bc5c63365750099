!> Neighbour list for any cell and periodicity, in time linear in the number of atoms.
!>
!> All images of the atoms within the cutoff of the cell are written out once as "ghosts", sorted into
!> bins, so that a search runs along contiguous memory.  A list is a list of ghosts; displaced copies of
!> a structure reuse it after moving the ghosts.
module tf_neighbours
   use tf_kinds, only : wp, i8
   use tf_error, only : error_type, raise, check_memory, error_geometry, error_value
   use tf_geometry, only : box_type, new_box, wrap
   implicit none
   private
   public :: neighbour_list_type, build_neighbour_list, place_ghosts

   !> Positions and cutoffs beyond these (Å) are an error in the data
   real(wp), parameter :: farthest_position = 1.0e9_wp, longest_reach = 1.0e5_wp
   !> Images of one structure: beyond this its cell is far thinner than any atom; below it memory suffices
   real(wp), parameter :: most_images = 2.0e7_wp, most_images_per_atom = 1.0e3_wp

   !> Neighbours of all atoms of a structure
   type :: neighbour_list_type
      integer :: n_atoms = 0, n_ghosts = 0
      !> Largest number of neighbours of an atom
      integer :: n_most = 0
      !> Distance within which it has all neighbours, Å: beyond the cutoff for a list that serves for many steps
      real(wp) :: reach = 0.0_wp
      !> (3, n_atoms) positions wrapped into the cell along periodic vectors, Å
      real(wp), allocatable :: position(:, :)
      !> (n_ghosts) which atom a ghost is an image of
      integer, allocatable :: atom(:)
      !> (3, n_ghosts) by which it is shifted, Å
      real(wp), allocatable :: shift(:, :)
      !> (n_atoms + 1) neighbours of atom i are ghost(first(i) + 1 : first(i + 1))
      integer(i8), allocatable :: first(:)
      integer, allocatable :: ghost(:)
   end type neighbour_list_type

   ! Atoms whose neighbours a thread looks for in one go
   integer, parameter :: part_atoms = 512

   !> Neighbours of the atoms of a part
   type :: found_type
      !> Neighbours found, and those of the parts before
      integer(i8) :: n = 0_i8, before = 0_i8
      !> Largest number of neighbours of an atom
      integer :: n_most = 0
      integer, allocatable :: ghost(:)
   end type found_type

   !> Bins that the ghosts are sorted into, along the three internal coordinates
   type :: bins_type
      !> Bins along each direction, and how many bins away a neighbour may be
      integer :: n(3) = 1, around(3) = 0
      !> Smallest coordinates, and bins per unit of coordinate
      real(wp) :: least(3) = 0.0_wp, scale(3) = 0.0_wp
      !> (0:) last ghost of each bin, once sorted; (n_ghosts) bin of each ghost
      integer, allocatable :: end(:), of(:)
      !> Ghosts in a row of bins along the third direction, at most
      integer :: longest = 0
   end type bins_type

contains

   !> Find all atoms and images within `reach` of each atom, itself excluded
   subroutine build_neighbour_list(position, cell, periodic, reach, list, error, n_threads)
      !> (3, n_atoms) Å
      real(wp), intent(in) :: position(:, :)
      !> Columns are the lattice vectors, Å
      real(wp), intent(in) :: cell(3, 3)
      logical, intent(in) :: periodic(3)
      !> Å
      real(wp), intent(in) :: reach
      type(neighbour_list_type), intent(out) :: list
      type(error_type), allocatable, intent(inout) :: error
      !> At most; the list does not depend on it
      integer, intent(in), optional :: n_threads
      type(box_type) :: box
      real(wp), allocatable :: coordinate(:, :)
      integer :: n

      n = 1
      if (present(n_threads)) n = n_threads
      list%n_atoms = size(position, 2)
      list%reach = reach
      if (.not. all(abs(position) <= farthest_position)) then
         call raise(error, error_geometry, "a position is not finite, or absurdly far from the origin")
         return
      end if
      if (.not. (reach >= 0.0_wp .and. reach <= longest_reach)) then
         call raise(error, error_value, "the cutoff is not finite, or absurdly large")
         return
      end if
      call new_box(cell, periodic, box, error)
      if (allocated(error)) return
      call make_ghosts(position, reach, box, list, coordinate, error)
      if (allocated(error)) return
      call search(reach, box, coordinate, n, list, error)
   end subroutine build_neighbour_list

   !> Write out the images within reach of the cell; `coordinate` gets their internal coordinates
   subroutine make_ghosts(position, reach, box, list, coordinate, error)
      !> (3, n_atoms) Å
      real(wp), intent(in) :: position(:, :), reach
      type(box_type), intent(in) :: box
      type(neighbour_list_type), intent(inout) :: list
      !> (3, n_ghosts) internal coordinates
      real(wp), allocatable, intent(out) :: coordinate(:, :)
      type(error_type), allocatable, intent(inout) :: error
      real(wp), allocatable :: c(:, :)
      real(wp) :: margin(3), images
      integer :: i, k, n, total, status, a1, a2, a3, low(3), high(3)

      n = list%n_atoms
      allocate (list%position(3, n), c(3, n), stat=status)
      call check_memory(status, "the neighbours of atoms", 48_i8*n, error)
      if (allocated(error)) return
      do i = 1, n
         call wrap(box, position(:, i), c(:, i), list%position(:, i))
      end do
      ! A hair more than the reach, so that rounding loses no one
      margin = reach/box%height*(1.0_wp + 1.0e-9_wp) + 1.0e-9_wp
      images = 0.0_wp
      if (any(box%periodic .and. .not. margin < most_images)) then
         images = huge(images)
      else
         do i = 1, n
            call range_of_images(c(:, i), low, high)
            images = images + product(real(high - low + 1, wp))
         end do
      end if
      if (images > min(most_images + most_images_per_atom*n, 0.1_wp*huge(1))) then
         call raise(error, error_geometry, "the cell is too thin or the cutoff too large: too many periodic images")
         return
      end if
      total = nint(images)
      allocate (list%atom(total), list%shift(3, total), coordinate(3, total), stat=status)
      call check_memory(status, "periodic images", 52_i8*total, error)
      if (allocated(error)) return
      k = 0
      do i = 1, n
         call range_of_images(c(:, i), low, high)
         do a3 = low(3), high(3)
            do a2 = low(2), high(2)
               do a1 = low(1), high(1)
                  k = k + 1
                  list%atom(k) = i
                  list%shift(:, k) = a1*box%vectors(:, 1) + a2*box%vectors(:, 2) + a3*box%vectors(:, 3)
                  coordinate(:, k) = c(:, i) + [a1, a2, a3]
               end do
            end do
         end do
      end do
      list%n_ghosts = k

   contains

      !> Images whose coordinates lie within the margin of [0,1)
      pure subroutine range_of_images(at, low, high)
         !> Internal coordinates of the atom; images along each direction
         real(wp), intent(in) :: at(3)
         integer, intent(out) :: low(3), high(3)

         low = 0
         high = 0
         where (box%periodic)
            low = ceiling(-margin - at)
            high = floor(1.0_wp + margin - at)
         end where
      end subroutine range_of_images

   end subroutine make_ghosts

   !> Sort the ghosts into bins and collect the neighbours of each atom
   subroutine search(reach, box, coordinate, n_threads, list, error)
      !> Å
      real(wp), intent(in) :: reach
      type(box_type), intent(in) :: box
      !> (3, n_ghosts) internal coordinates; sorted with the ghosts
      real(wp), intent(inout), contiguous :: coordinate(:, :)
      integer, intent(in) :: n_threads
      type(neighbour_list_type), intent(inout) :: list
      type(error_type), allocatable, intent(inout) :: error
      type(error_type), allocatable :: error_here
      type(bins_type) :: bins
      type(found_type), allocatable :: found(:)
      real(wp), allocatable :: place(:, :)
      integer, allocatable :: home(:)
      integer(i8) :: before
      integer :: p, n_parts, status

      if (list%n_ghosts == 0) then
         allocate (list%first(1), list%ghost(0), stat=status)
         call check_memory(status, "the neighbours of atoms", 8_i8, error)
         if (status == 0) list%first = 0_i8
         return
      end if
      call make_bins(reach, box, coordinate, bins, error)
      if (allocated(error)) return
      n_parts = (list%n_atoms + part_atoms - 1)/part_atoms
      allocate (place(list%n_ghosts, 3), home(list%n_atoms), list%first(list%n_atoms + 1), found(n_parts), stat=status)
      call check_memory(status, "the neighbours of atoms", 24_i8*list%n_ghosts + 12_i8*list%n_atoms, error)
      if (.not. allocated(error)) call sort_ghosts(bins, list, coordinate, place, home, error)
      if (allocated(error)) return

      !$omp parallel do num_threads(n_threads) if(min(n_threads, n_parts) > 1) schedule(dynamic) default(shared) &
      !$omp& private(error_here)
      do p = 1, n_parts
         associate (a => (p - 1)*part_atoms + 1, b => min(p*part_atoms, list%n_atoms))
            call search_part(bins, coordinate, home(a:b), list%position(:, a:b), reach**2, place, list%first(a + 1:b + 1), &
               found(p), error_here)
         end associate
         if (allocated(error_here)) then
            !$omp critical (tf_neighbours_error)
            if (.not. allocated(error)) error = error_here
            !$omp end critical (tf_neighbours_error)
            deallocate (error_here)
         end if
      end do
      !$omp end parallel do
      if (allocated(error)) return

      list%n_most = maxval(found%n_most)
      before = 0_i8
      do p = 1, n_parts
         found(p)%before = before
         before = before + found(p)%n
      end do
      list%first(1) = 0_i8
      allocate (list%ghost(before), stat=status)
      call check_memory(status, "the neighbours of atoms", 4*before, error)
      if (allocated(error)) return
      !$omp parallel do num_threads(n_threads) if(min(n_threads, n_parts) > 1) schedule(dynamic) default(shared)
      do p = 1, n_parts
         associate (here => found(p), first => list%first((p - 1)*part_atoms + 2:min(p*part_atoms, list%n_atoms) + 1))
            first = first + here%before
            list%ghost(here%before + 1:here%before + here%n) = here%ghost(:here%n)
         end associate
      end do
      !$omp end parallel do
   end subroutine search

   !> Collect the neighbours of some consecutive atoms
   subroutine search_part(bins, coordinate, home, position, reach2, place, first, found, error)
      type(bins_type), intent(in) :: bins
      !> (3, n_ghosts) internal coordinates of the sorted ghosts; (n_ghosts, 3) their positions, Å
      real(wp), intent(in), contiguous :: coordinate(:, :)
      real(wp), intent(in), contiguous :: place(:, :)
      !> For each of the atoms: the ghost that it is itself, and its position, Å
      integer, intent(in) :: home(:)
      real(wp), intent(in) :: position(:, :)
      !> Å²
      real(wp), intent(in) :: reach2
      !> Neighbours of the atoms so far
      integer(i8), intent(out) :: first(:)
      type(found_type), intent(inout) :: found
      type(error_type), allocatable, intent(inout) :: error
      real(wp), allocatable :: inside(:)
      integer, allocatable :: ghost(:)
      integer(i8) :: used, before
      integer :: i, status

      ! Counted here and not in `found`: in a register
      used = 0_i8
      allocate (inside(bins%longest), ghost(64 + 16*size(home)), stat=status)
      call check_memory(status, "the neighbours of atoms", 8_i8*bins%longest + 64_i8*size(home), error)
      do i = 1, size(home)
         if (allocated(error)) return
         before = used
         call find_neighbours(bins, index_of(bins, coordinate(:, home(i))), home(i), position(:, i), reach2, place, &
            inside, ghost, used, error)
         first(i) = used
         found%n_most = max(found%n_most, int(used - before))
      end do
      found%n = used
      call move_alloc(ghost, found%ghost)
   end subroutine search_part

   !> Choose the bins, and count the ghosts in them
   subroutine make_bins(reach, box, coordinate, bins, error)
      !> Å
      real(wp), intent(in) :: reach
      type(box_type), intent(in) :: box
      !> (3, n_ghosts) internal coordinates
      real(wp), intent(in), contiguous :: coordinate(:, :)
      type(bins_type), intent(out) :: bins
      type(error_type), allocatable, intent(inout) :: error
      real(wp) :: length(3), finest(3)
      integer :: bin(3), g, k, n_ghosts, status

      n_ghosts = size(coordinate, 2)
      bins%least = minval(coordinate, dim=2)
      length = max((maxval(coordinate, dim=2) - bins%least)*box%height, 1.0e-3_wp*reach)
      ! Bins of half the reach; coarser where the system is so sparse that most would be empty.  Along the third direction
      ! bins are contiguous in memory, so finer ones cost nothing
      finest = [0.5_wp, 0.5_wp, 0.125_wp]*reach
      do
         bins%n = max(1, floor(min(length/finest, 1.0e6_wp)))
         if (product(real(bins%n, wp)) <= 4.0_wp*n_ghosts + 64.0_wp) exit
         finest = 1.5_wp*finest
      end do
      bins%scale = bins%n/length*box%height
      bins%around = ceiling(reach*bins%n/length*(1.0_wp + 1.0e-9_wp))

      allocate (bins%end(0:product(bins%n)), bins%of(n_ghosts), stat=status)
      call check_memory(status, "bins of atoms", 4_i8*(product(bins%n) + 1_i8 + n_ghosts), error)
      if (allocated(error)) return
      bins%end = 0
      do g = 1, n_ghosts
         bin = index_of(bins, coordinate(:, g))
         bins%of(g) = bin(3) + bins%n(3)*(bin(2) + bins%n(2)*bin(1)) + 1
         bins%end(bins%of(g)) = bins%end(bins%of(g)) + 1
      end do
      do k = 1, product(bins%n)
         bins%end(k) = bins%end(k) + bins%end(k - 1)
      end do
      bins%longest = maxval(bins%end(bins%n(3)::bins%n(3)) - bins%end(0:ubound(bins%end, 1) - 1:bins%n(3)))
   end subroutine make_bins

   !> Place of the bin of a point along each direction, from 0
   pure function index_of(bins, at) result(index)
      type(bins_type), intent(in) :: bins
      !> Internal coordinates
      real(wp), intent(in) :: at(3)
      integer :: index(3)

      index = max(0, min(bins%n - 1, floor((at - bins%least)*bins%scale)))
   end function index_of

   !> Counting sort by bin, stable, so that the order depends on the input alone
   subroutine sort_ghosts(bins, list, coordinate, place, home, error)
      type(bins_type), intent(in) :: bins
      type(neighbour_list_type), intent(inout) :: list
      !> (3, n_ghosts) internal coordinates
      real(wp), intent(inout), contiguous :: coordinate(:, :)
      !> (n_ghosts, 3) positions of the sorted ghosts, Å
      real(wp), intent(out), contiguous :: place(:, :)
      !> (n_atoms) the ghost that is the atom itself
      integer, intent(out) :: home(:)
      type(error_type), allocatable, intent(inout) :: error
      integer, allocatable :: atom(:), next(:)
      real(wp), allocatable :: shift(:, :), old_coordinate(:, :)
      integer :: g, to, status

      associate (n => size(list%atom))
         allocate (next(size(bins%end) - 1), atom(n), shift(3, n), old_coordinate(3, n), stat=status)
         call check_memory(status, "periodic images", 52_i8*n + 4_i8*size(bins%end), error)
      end associate
      if (allocated(error)) return
      next = bins%end(0:ubound(bins%end, 1) - 1)
      atom = list%atom
      shift = list%shift
      old_coordinate = coordinate
      do g = 1, size(atom)
         to = next(bins%of(g)) + 1
         next(bins%of(g)) = to
         list%atom(to) = atom(g)
         list%shift(:, to) = shift(:, g)
         coordinate(:, to) = old_coordinate(:, g)
         place(to, :) = list%position(:, atom(g)) + shift(:, g)
         if (all(abs(shift(:, g)) <= 0.0_wp)) home(atom(g)) = to
      end do
   end subroutine sort_ghosts

   !> Append the neighbours of one atom, the ghost `home` in bin `bin`, to those found so far
   subroutine find_neighbours(bins, bin, home, position, reach2, place, inside, found, used, error)
      type(bins_type), intent(in) :: bins
      !> Bin of the atom, and the ghost that it is itself
      integer, intent(in) :: bin(3), home
      !> Å and Å²
      real(wp), intent(in) :: position(3), reach2
      !> (n_ghosts, 3) Å
      real(wp), intent(in), contiguous :: place(:, :)
      !> Scratch for a row of bins: how far inside the reach, Å²
      real(wp), intent(inout), contiguous :: inside(:)
      !> Neighbours of this atom and those before it, and how many they are
      integer, allocatable, intent(inout) :: found(:)
      integer(i8), intent(inout) :: used
      type(error_type), allocatable, intent(inout) :: error
      integer, allocatable :: larger(:)
      integer :: b1, b2, first_run, last_run, run, k, n, status

      first_run = max(bin(3) - bins%around(3), 0)
      last_run = min(bin(3) + bins%around(3), bins%n(3) - 1)
      do b1 = max(bin(1) - bins%around(1), 0), min(bin(1) + bins%around(1), bins%n(1) - 1)
         do b2 = max(bin(2) - bins%around(2), 0), min(bin(2) + bins%around(2), bins%n(2) - 1)
            k = bins%n(3)*(b2 + bins%n(2)*b1)
            run = bins%end(k + first_run)
            n = bins%end(k + last_run + 1) - run
            if (used + n > size(found)) then
               allocate (larger(2*(size(found) + n)), stat=status)
               call check_memory(status, "the neighbours of atoms", 8_i8*(size(found) + n), error)
               if (allocated(error)) return
               larger(:used) = found(:used)
               call move_alloc(larger, found)
            end if
            call keep_near(n, run, home, size(place, 1), place, position, reach2, inside, size(found, kind=i8), found, used)
         end do
      end do
   end subroutine find_neighbours

   !> Those of a row of ghosts that are near, as plain arrays, which compilers know to be apart
   pure subroutine keep_near(n, run, home, n_ghosts, place, position, reach2, inside, n_found, found, used)
      !> Ghosts of the row, and of those before; the rest as in `find_neighbours`
      integer, intent(in) :: n, run, home, n_ghosts
      real(wp), intent(in) :: place(n_ghosts, 3), position(3), reach2
      real(wp), intent(inout) :: inside(n)
      integer(i8), intent(in) :: n_found
      integer, intent(inout) :: found(n_found)
      integer(i8), intent(inout) :: used
      integer(i8) :: m
      integer :: g

      !$omp simd
      do g = 1, n
         inside(g) = reach2 - ((place(run + g, 1) - position(1))**2 + (place(run + g, 2) - position(2))**2 + &
            (place(run + g, 3) - position(3))**2)
      end do
      if (home > run .and. home <= run + n) inside(home - run) = -1.0_wp
      ! Write every candidate, keep the place only for those within reach, by the sign: no branch to mispredict
      m = used
      do g = 1, n
         found(m + 1) = run + g
         m = m + (1_i8 + shifta(transfer(inside(g), 0_i8), 63))
      end do
      used = m
   end subroutine keep_near

   !> Positions of the ghosts of displaced atoms
   pure subroutine place_ghosts(list, position, ghost_position)
      type(neighbour_list_type), intent(in) :: list
      !> (3, n_atoms) Å, near list%position
      real(wp), intent(in) :: position(:, :)
      !> (n_ghosts, 3) Å
      real(wp), intent(out) :: ghost_position(:, :)
      integer :: g

      do g = 1, list%n_ghosts
         ghost_position(g, 1) = position(1, list%atom(g)) + list%shift(1, g)
         ghost_position(g, 2) = position(2, list%atom(g)) + list%shift(2, g)
         ghost_position(g, 3) = position(3, list%atom(g)) + list%shift(3, g)
      end do
   end subroutine place_ghosts

end module tf_neighbours
