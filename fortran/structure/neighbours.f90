!> Neighbour list for any cell and periodicity, in time linear in the number of atoms.
!>
!> All images of the atoms within the cutoff of the cell are written out once as "ghosts", sorted into
!> bins, so that a search runs along contiguous memory.  A list is a list of ghosts; displaced copies of
!> a structure reuse it after moving the ghosts.
module tf_neighbours
   use tf_kinds, only : wp, i8
   use tf_error, only : error_type, raise, error_geometry, error_value
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

contains

   !> Find all atoms and images within `reach` of each atom, itself excluded
   subroutine build_neighbour_list(position, cell, periodic, reach, list, error)
      !> (3, n_atoms) Å
      real(wp), intent(in) :: position(:, :)
      !> Columns are the lattice vectors, Å
      real(wp), intent(in) :: cell(3, 3)
      logical, intent(in) :: periodic(3)
      !> Å
      real(wp), intent(in) :: reach
      type(neighbour_list_type), intent(out) :: list
      type(error_type), allocatable, intent(inout) :: error
      type(box_type) :: box
      real(wp), allocatable :: coordinate(:, :)

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
      call search(reach, box, coordinate, list)
   end subroutine build_neighbour_list

   !> Write out the images within reach of the cell; `coordinate` gets their internal coordinates
   subroutine make_ghosts(position, reach, box, list, coordinate, error)
      real(wp), intent(in) :: position(:, :), reach
      type(box_type), intent(in) :: box
      type(neighbour_list_type), intent(inout) :: list
      real(wp), allocatable, intent(out) :: coordinate(:, :)
      type(error_type), allocatable, intent(inout) :: error
      real(wp), allocatable :: c(:, :)
      real(wp) :: margin(3), images
      integer :: i, k, n, total, a1, a2, a3, low(3), high(3)
      n = list%n_atoms
      allocate (list%position(3, n), c(3, n))
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
      allocate (list%atom(total), list%shift(3, total), coordinate(3, total))
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
   subroutine search(reach, box, coordinate, list)
      real(wp), intent(in) :: reach
      type(box_type), intent(in) :: box
      real(wp), intent(inout) :: coordinate(:, :)
      type(neighbour_list_type), intent(inout) :: list
      real(wp), allocatable :: x(:), y(:), z(:), distance2(:)
      integer, allocatable :: bin_of(:), bin_end(:), home(:), found(:), larger(:)
      real(wp) :: least(3), length(3), scale(3), position(3), reach2, finest(3)
      integer :: n_bins(3), around(3), bin(3), i, k, g, n, b1, b2, run, first_run, last_run
      integer(i8) :: used

      associate (n_ghosts => list%n_ghosts)
      allocate (bin_of(n_ghosts), x(n_ghosts), y(n_ghosts), z(n_ghosts), distance2(n_ghosts), home(list%n_atoms))
      if (n_ghosts == 0) then
         allocate (list%first(1), source=0_i8)
         allocate (list%ghost(0))
         return
      end if

      ! Bins of half the reach; coarser where the system is so sparse that most would be empty
      least = minval(coordinate, dim=2)
      length = max((maxval(coordinate, dim=2) - least)*box%height, 1.0e-3_wp*reach)
      ! Along the third direction bins are contiguous in memory, so finer ones cost nothing
      finest = [0.5_wp, 0.5_wp, 0.125_wp]*reach
      do
         n_bins = max(1, floor(min(length/finest, 1.0e6_wp)))
         if (product(real(n_bins, wp)) <= 4.0_wp*n_ghosts + 64.0_wp) exit
         finest = 1.5_wp*finest
      end do
      scale = n_bins/length*box%height
      around = ceiling(reach*n_bins/length*(1.0_wp + 1.0e-9_wp))
      allocate (bin_end(0:product(n_bins)), source=0)
      do g = 1, n_ghosts
         bin = bin_index(coordinate(:, g))
         bin_of(g) = bin(3) + n_bins(3)*(bin(2) + n_bins(2)*bin(1)) + 1
         bin_end(bin_of(g)) = bin_end(bin_of(g)) + 1
      end do
      do k = 1, product(n_bins)
         bin_end(k) = bin_end(k) + bin_end(k - 1)
      end do
      call sort_ghosts()

      reach2 = reach**2
      allocate (list%first(list%n_atoms + 1))
      list%first(1) = 0
      allocate (found(64 + 16*list%n_atoms))
      used = 0
      do i = 1, list%n_atoms
         position = list%position(:, i)
         bin = bin_index(coordinate(:, home(i)))
         first_run = max(bin(3) - around(3), 0)
         last_run = min(bin(3) + around(3), n_bins(3) - 1)
         do b1 = max(bin(1) - around(1), 0), min(bin(1) + around(1), n_bins(1) - 1)
            do b2 = max(bin(2) - around(2), 0), min(bin(2) + around(2), n_bins(2) - 1)
               k = n_bins(3)*(b2 + n_bins(2)*b1)
               run = bin_end(k + first_run)
               n = bin_end(k + last_run + 1) - run
               if (used + n > size(found)) then
                  allocate (larger(2*(size(found) + n)))
                  larger(:used) = found(:used)
                  call move_alloc(larger, found)
               end if
               !$omp simd
               do g = 1, n
                  distance2(g) = (x(run + g) - position(1))**2 + (y(run + g) - position(2))**2 + &
                     (z(run + g) - position(3))**2
               end do
               ! Write every candidate, keep the place only for those within reach: no branch to mispredict
               do g = 1, n
                  found(used + 1) = run + g
                  used = used + merge(1_i8, 0_i8, distance2(g) <= reach2 .and. run + g /= home(i))
               end do
            end do
         end do
         list%first(i + 1) = used
         list%n_most = max(list%n_most, int(used - list%first(i)))
      end do
      list%ghost = found(:used)
      end associate

   contains

      pure function bin_index(at) result(index)
         real(wp), intent(in) :: at(3)
         integer :: index(3)
         index = max(0, min(n_bins - 1, floor((at - least)*scale)))
      end function bin_index

      !> Counting sort by bin, stable, so that the order depends on the input alone
      subroutine sort_ghosts()
         integer, allocatable :: atom(:), next(:)
         real(wp), allocatable :: shift(:, :), old_coordinate(:, :)
         integer :: g, to
         next = bin_end(0:ubound(bin_end, 1) - 1)
         atom = list%atom
         shift = list%shift
         old_coordinate = coordinate
         do g = 1, size(atom)
            to = next(bin_of(g)) + 1
            next(bin_of(g)) = to
            list%atom(to) = atom(g)
            list%shift(:, to) = shift(:, g)
            coordinate(:, to) = old_coordinate(:, g)
            x(to) = list%position(1, atom(g)) + shift(1, g)
            y(to) = list%position(2, atom(g)) + shift(2, g)
            z(to) = list%position(3, atom(g)) + shift(3, g)
            if (all(abs(shift(:, g)) <= 0.0_wp)) home(atom(g)) = to
         end do
      end subroutine sort_ghosts

   end subroutine search

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
