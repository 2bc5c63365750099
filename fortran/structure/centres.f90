!> The atoms whose energies are wanted, and who surrounds them: by a neighbour list of ours or of a host program.
module tf_centres
   use, intrinsic :: iso_c_binding, only : c_int, c_ptr, c_f_pointer
   use tf_kinds, only : wp, i8
   use tf_error, only : error_type, raise, check_memory, error_value
   use tf_neighbours, only : neighbour_list_type, place_ghosts
   use tf_surroundings, only : surroundings_type, gather, complete
   implicit none
   private
   public :: centres_type, listed_centres_type, new_listed_centres, host_centres_type, new_host_centres

   !> Centres, and the atoms on which forces act
   type, abstract :: centres_type
      integer :: n_atoms = 0
      !> Largest number of neighbours in the list of a centre
      integer :: n_most = 0
      !> (n_centres) their places among the atoms, and their species
      integer, allocatable :: atom(:), species(:)
   contains
      procedure(gather_interface), deferred :: gather
   end type centres_type

   abstract interface
      !> Collect the neighbours of atom i
      subroutine gather_interface(centres, i, around, error)
         import :: centres_type, surroundings_type, error_type
         implicit none
         class(centres_type), intent(in) :: centres
         integer, intent(in) :: i
         type(surroundings_type), intent(inout) :: around
         type(error_type), allocatable, intent(inout) :: error
      end subroutine gather_interface
   end interface

   !> All atoms of a structure with a list of ours
   type, extends(centres_type) :: listed_centres_type
      private
      type(neighbour_list_type), pointer :: list => null()
      !> (3, n_atoms) Å
      real(wp), pointer, contiguous :: position(:, :) => null()
      !> (n_ghosts, 3) Å
      real(wp), allocatable :: ghosts(:, :)
      !> Neighbours further away are left out, Å; not allocated: none is
      real(wp), allocatable :: within
   contains
      procedure :: gather => gather_listed
   end type listed_centres_type

   !> Atoms of a host program, which counts them from 0; ghosts are atoms that are no centres.  Views of its arrays
   type, extends(centres_type) :: host_centres_type
      private
      !> (3, n_atoms) Å
      real(wp), pointer, contiguous :: position(:, :) => null()
      !> (n_atoms) types, from 1
      integer(c_int), pointer, contiguous :: type_of(:) => null()
      !> (0:n_types) species of each type, 0: not seen
      integer, allocatable :: species_of(:)
      !> (n_atoms) neighbours of each atom: how many, and where their numbers are
      integer(c_int), pointer, contiguous :: n_neighbours(:) => null()
      type(c_ptr), pointer, contiguous :: neighbours(:) => null()
      !> Bits of a neighbour's number that count
      integer(c_int) :: mask = -1_c_int
      !> Neighbours further away are left out, Å
      real(wp) :: within = 0.0_wp
   contains
      procedure :: gather => gather_host
   end type host_centres_type

contains

   !> All atoms of a structure as centres; `list`, `position` and `species` must live as long
   subroutine new_listed_centres(list, position, species, centres, error, within)
      type(neighbour_list_type), intent(in), target :: list
      !> (3, n_atoms) Å, near list%position
      real(wp), intent(in), target, contiguous :: position(:, :)
      integer, intent(in) :: species(:)
      type(listed_centres_type), intent(out) :: centres
      type(error_type), allocatable, intent(inout) :: error
      !> Leave out neighbours that are further away, Å: for a list that reaches beyond the cutoff
      real(wp), intent(in), optional :: within
      integer :: i, status

      centres%n_atoms = size(species)
      centres%n_most = list%n_most
      allocate (centres%atom(size(species)), centres%species(size(species)), centres%ghosts(list%n_ghosts, 3), stat=status)
      call check_memory(status, "periodic images", 24_i8*list%n_ghosts + 8_i8*size(species), error)
      if (allocated(error)) return
      do i = 1, size(species)
         centres%atom(i) = i
      end do
      centres%species = species
      centres%list => list
      centres%position => position
      call place_ghosts(list, position, centres%ghosts)
      if (present(within)) centres%within = within
   end subroutine new_listed_centres

   !> Collect the neighbours of atom i from a list of ours
   subroutine gather_listed(centres, i, around, error)
      class(listed_centres_type), intent(in) :: centres
      integer, intent(in) :: i
      type(surroundings_type), intent(inout) :: around
      type(error_type), allocatable, intent(inout) :: error

      call gather(centres%list, i, centres%position, centres%ghosts, centres%species, around, error, centres%within)
   end subroutine gather_listed

   !> Centres of a host program with its own neighbour list; its arrays must live as long
   subroutine new_host_centres(listed, position, type_of, species_of, n_neighbours, neighbours, mask, within, centres, error)
      !> (n_listed) the atoms, from 0, that are centres if their type has a species
      integer(c_int), intent(in) :: listed(:)
      !> The rest as in `host_centres_type`
      real(wp), intent(in), target, contiguous :: position(:, :)
      integer(c_int), intent(in), target, contiguous :: type_of(:)
      integer, intent(in) :: species_of(0:)
      integer(c_int), intent(in), target, contiguous :: n_neighbours(:)
      type(c_ptr), intent(in), target, contiguous :: neighbours(:)
      integer(c_int), intent(in) :: mask
      real(wp), intent(in) :: within
      type(host_centres_type), intent(out) :: centres
      type(error_type), allocatable, intent(inout) :: error
      integer :: i, k, n, status

      centres%n_atoms = size(type_of)
      centres%mask = mask
      centres%within = within
      centres%position => position
      centres%type_of => type_of
      centres%n_neighbours => n_neighbours
      centres%neighbours => neighbours
      allocate (centres%species_of(0:ubound(species_of, 1)), centres%atom(size(listed)), centres%species(size(listed)), &
         stat=status)
      call check_memory(status, "the atoms of a program", 8_i8*size(listed), error)
      if (allocated(error)) return
      centres%species_of(:) = species_of
      if (any(type_of < 0) .or. any(type_of > ubound(species_of, 1))) then
         call raise(error, error_value, "the type of an atom is out of range")
      else if (.not. all(abs(position) <= huge(1.0_wp))) then
         call raise(error, error_value, "a position is not finite")
      end if
      if (allocated(error)) return

      n = 0
      do k = 1, size(listed)
         i = listed(k) + 1
         if (i < 1 .or. i > centres%n_atoms) then
            call raise(error, error_value, "a centre is none of the atoms")
            return
         end if
         if (species_of(type_of(i)) == 0) cycle
         n = n + 1
         centres%atom(n) = i
         centres%species(n) = species_of(type_of(i))
         centres%n_most = max(centres%n_most, n_neighbours(i))
      end do
      centres%atom = centres%atom(:n)
      centres%species = centres%species(:n)
   end subroutine new_host_centres

   !> Collect the neighbours of atom i from the list of a host program
   subroutine gather_host(centres, i, around, error)
      class(host_centres_type), intent(in) :: centres
      integer, intent(in) :: i
      type(surroundings_type), intent(inout) :: around
      type(error_type), allocatable, intent(inout) :: error
      integer(c_int), pointer, contiguous :: listed(:)
      integer :: m

      call c_f_pointer(centres%neighbours(i), listed, [centres%n_neighbours(i)])
      call collect_near(size(listed), listed, centres%mask, i, centres%n_atoms, centres%position, centres%type_of, &
         ubound(centres%species_of, 1), centres%species_of, centres%within**2, around%x, around%y, around%z, around%atom, &
         around%species, m)
      if (m < 0) then
         call raise(error, error_value, "a neighbour is none of the atoms")
         return
      end if
      call complete(m, i, around, error)
   end subroutine gather_host

   !> The neighbours of atom i within the cutoff, as plain arrays, which compilers know to be apart
   pure subroutine collect_near(n, listed, mask, i, n_atoms, position, type_of, n_types, species_of, within2, x, y, z, atom, &
         species, m)
      !> The list, from 0, and the bits of it that count
      integer, intent(in) :: n
      integer(c_int), intent(in) :: listed(n), mask
      !> The centre; the rest as in `host_centres_type`
      integer, intent(in) :: i, n_atoms, n_types
      real(wp), intent(in) :: position(3, n_atoms)
      integer(c_int), intent(in) :: type_of(n_atoms)
      integer, intent(in) :: species_of(0:n_types)
      !> Square of the cutoff, Å²
      real(wp), intent(in) :: within2
      !> (m) of the neighbours; m = −1: one of them is no atom
      real(wp), intent(inout) :: x(n), y(n), z(n)
      integer, intent(inout) :: atom(n), species(n)
      integer, intent(out) :: m
      real(wp) :: here(3), d1, d2, d3
      integer :: j, k, t, lowest, highest

      lowest = 0
      highest = 0
      !$omp simd reduction(min:lowest) reduction(max:highest)
      do k = 1, n
         j = iand(listed(k), mask)
         lowest = min(lowest, j)
         highest = max(highest, j)
      end do
      m = -1
      if (lowest < 0 .or. (n > 0 .and. highest >= n_atoms)) return

      m = 0
      here = position(:, i)
      do k = 1, n
         j = iand(listed(k), mask) + 1
         t = species_of(type_of(j))
         d1 = position(1, j) - here(1)
         d2 = position(2, j) - here(2)
         d3 = position(3, j) - here(3)
         ! Written always, and counted if it is near: a branch could not be foreseen
         x(m + 1) = d1
         y(m + 1) = d2
         z(m + 1) = d3
         atom(m + 1) = j
         species(m + 1) = t
         m = m + merge(1, 0, d1**2 + d2**2 + d3**2 <= within2 .and. t /= 0)
      end do
   end subroutine collect_near

end module tf_centres
