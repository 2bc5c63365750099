!> Which symmetry functions there are, sorted into groups that share their work.
!>
!> A shell is the set of neighbours of one species inside one cutoff; it belongs to any number of groups.
!> A radial group holds all G1, G2, G3 of one shell; an angular group all G4, or all G5, of one pair of
!> shells.  Within a group, exponentials with η a small multiple of another one are powers of it.
module tf_behler_tables
   use tf_kinds, only : wp, i8
   use tf_error, only : error_type, raise, check_memory, error_value, error_size, error_species
   implicit none
   private
   public :: behler_type, shell_type, radial_type, angular_type, new_behler, functions_of_species, radial_of_species, longest

   !> ζ of which the powers are formed in registers
   integer, parameter :: short_powers(3) = [1, 2, 4], longest = maxval(short_powers)

   !> Neighbours of one species inside one cutoff
   type :: shell_type
      !> Global species index
      integer :: species = 0
      !> Å
      real(wp) :: r_cut = 0.0_wp
   end type shell_type

   !> G1, G2, G3 of one shell
   type :: radial_type
      integer :: shell = 0
      integer :: n = 0
      !> (n) 1, 2 or 3
      integer, allocatable :: kind(:)
      !> (n) R_s (Å) of G2, κ (1/Å) of G3
      real(wp), allocatable :: place(:)
      !> (n) η of G2, 1/Å²
      real(wp), allocatable :: eta(:)
      !> (n) the exponential is that of this earlier function of the group (0: of its own) to this power
      integer, allocatable :: base(:), power(:)
      !> (n) place of the value in the descriptor
      integer, allocatable :: feature(:)
   end type radial_type

   !> G4 (with the third side of the triangle) or G5 of one pair of shells
   type :: angular_type
      logical :: third_side = .false.
      integer :: shell(2) = 0
      real(wp) :: r_cut = 0.0_wp
      !> Distinct η (1/Å²), ascending, and the earlier one each follows from
      integer :: n_exponent = 0
      real(wp), allocatable :: eta(:)
      integer, allocatable :: base(:), power(:)
      !> Distinct (λ, ζ); whole = ζ where it is a small integer, else -1
      integer :: n_power = 0
      real(wp), allocatable :: lambda(:), zeta(:)
      integer, allocatable :: whole(:)
      !> (n_power) is ζ one of `short_powers`?  (0:longest, n_power) [½(1 + λ cos θ)]^ζ as a series in cos θ if so
      logical, allocatable :: short(:)
      real(wp), allocatable :: series(:, :)
      !> (n_exponent + 1) functions with exponent m are first(m) + 1 … first(m + 1)
      integer, allocatable :: first(:)
      !> (n_function) which (λ, ζ), and place of the value in the descriptor
      integer, allocatable :: column(:), feature(:)
   end type angular_type

   !> All functions of one central species
   type :: behler_type
      integer :: n_feature = 0
      !> Largest cutoff, Å
      real(wp) :: cutoff = 0.0_wp
      type(shell_type), allocatable :: shells(:)
      type(radial_type), allocatable :: radial(:)
      type(angular_type), allocatable :: angular(:)
      !> Most functions of a radial group; most η and most (λ, ζ) of an angular one
      integer :: most_radial = 0, most_exponents = 0, most_powers = 0
   end type behler_type

   ! Rounding errors of an exponential grow with the power that is taken of it
   integer, parameter :: highest_power = 64
   integer, parameter :: highest_whole = 1024

contains

   !> Which values of the descriptor depend on neighbours of a species
   pure function functions_of_species(behler, species) result(depends)
      type(behler_type), intent(in) :: behler
      !> Global species index
      integer, intent(in) :: species
      logical :: depends(behler%n_feature)
      integer :: i

      depends = .false.
      do i = 1, size(behler%radial)
         if (behler%shells(behler%radial(i)%shell)%species == species) depends(behler%radial(i)%feature) = .true.
      end do
      do i = 1, size(behler%angular)
         if (any(behler%shells(behler%angular(i)%shell)%species == species)) depends(behler%angular(i)%feature) = .true.
      end do
   end function functions_of_species

   !> Radial functions of neighbours of a species: kind, R_s or κ, η, cutoff (Å), and place in the descriptor, (5, n)
   pure function radial_of_species(behler, species) result(table)
      type(behler_type), intent(in) :: behler
      !> Global species index
      integer, intent(in) :: species
      real(wp), allocatable :: table(:, :)
      integer :: i, m

      allocate (table(5, 0))
      do i = 1, size(behler%radial)
         associate (radial => behler%radial(i), shell => behler%shells(behler%radial(i)%shell))
         if (shell%species /= species) cycle
         do m = 1, radial%n
            table = reshape([table, real(radial%kind(m), wp), radial%place(m), radial%eta(m), shell%r_cut, &
               real(radial%feature(m), wp)], [5, size(table, 2) + 1])
         end do
         end associate
      end do
   end function radial_of_species

   !> Sort the functions of ænet's table into groups
   subroutine new_behler(kind, parameters, neighbours, environment, behler, error)
      !> (n) 1 … 5 for G1 … G5
      integer, intent(in) :: kind(:)
      !> (4, n) G1: Rc; G2: Rc, Rs, η; G3: Rc, κ; G4, G5: Rc, λ, ζ, η (Å, 1/Å², 1/Å)
      real(wp), intent(in) :: parameters(:, :)
      !> (2, n) global species index of type2 and, for G4 and G5, type3
      integer, intent(in) :: neighbours(:, :)
      !> (n_species) place of each species in the ENV list, 0 if absent
      integer, intent(in) :: environment(:)
      type(behler_type), intent(out) :: behler
      type(error_type), allocatable, intent(inout) :: error
      integer, allocatable :: feature(:), members(:), all_functions(:)
      logical, allocatable :: grouped(:)
      type(shell_type), allocatable :: shells(:)
      type(radial_type), allocatable :: radial(:)
      type(angular_type), allocatable :: angular(:)
      integer :: n, f, i, n_shells, n_radial, n_angular, status

      n = size(kind)
      call check_table(kind, parameters, neighbours, environment, error)
      if (allocated(error)) return
      behler%n_feature = n
      behler%cutoff = maxval(parameters(1, :))
      call order_of_values(kind, neighbours, environment, feature, error)
      if (allocated(error)) return
      allocate (grouped(n), shells(2*n), radial(n), angular(n), stat=status)
      call check_memory(status, "groups of symmetry functions", &
         int(n, i8)*(2*storage_size(shells) + storage_size(radial) + storage_size(angular))/8, error)
      if (allocated(error)) return
      grouped = .false.
      all_functions = [(i, i=1, n)]
      n_shells = 0
      n_radial = 0
      n_angular = 0
      do f = 1, n
         if (grouped(f)) cycle
         members = pack(all_functions, [(same_group(f, i), i=1, n)])
         grouped(members) = .true.
         if (kind(f) <= 3) then
            n_radial = n_radial + 1
            radial(n_radial)%shell = shell_of(neighbours(1, f), parameters(1, f))
            call new_radial(kind(members), parameters(:, members), feature(members), radial(n_radial), error)
            if (allocated(error)) return
            behler%most_radial = max(behler%most_radial, radial(n_radial)%n)
         else
            n_angular = n_angular + 1
            angular(n_angular)%third_side = kind(f) == 4
            angular(n_angular)%r_cut = parameters(1, f)
            angular(n_angular)%shell = [shell_of(neighbours(1, f), parameters(1, f)), &
               shell_of(neighbours(2, f), parameters(1, f))]
            call new_angular(parameters(:, members), feature(members), angular(n_angular), error)
            if (allocated(error)) return
            behler%most_exponents = max(behler%most_exponents, angular(n_angular)%n_exponent)
            behler%most_powers = max(behler%most_powers, angular(n_angular)%n_power)
         end if
      end do
      behler%shells = shells(:n_shells)
      behler%radial = radial(:n_radial)
      behler%angular = angular(:n_angular)

   contains

      logical function same_group(f, i)
         !> Two functions of the table
         integer, intent(in) :: f, i

         same_group = parameters(1, f) == parameters(1, i) .and. (kind(f) <= 3 .eqv. kind(i) <= 3)
         if (kind(f) <= 3) then
            same_group = same_group .and. neighbours(1, f) == neighbours(1, i)
         else
            same_group = same_group .and. kind(f) == kind(i) .and. &
               minval(neighbours(:, f)) == minval(neighbours(:, i)) .and. &
               maxval(neighbours(:, f)) == maxval(neighbours(:, i))
         end if
      end function same_group

      !> Index of the shell, new if there is none yet
      integer function shell_of(species, r_cut) result(s)
         !> Of the neighbours, and how far the function sees them (Å)
         integer, intent(in) :: species
         real(wp), intent(in) :: r_cut

         do s = 1, n_shells
            if (shells(s)%species == species .and. shells(s)%r_cut == r_cut) return
         end do
         n_shells = n_shells + 1
         s = n_shells
         shells(s) = shell_type(species, r_cut)
      end function shell_of

   end subroutine new_behler

   !> Refuse what cannot be evaluated
   subroutine check_table(kind, parameters, neighbours, environment, error)
      !> The table of functions, see `new_behler`
      integer, intent(in) :: kind(:), neighbours(:, :), environment(:)
      real(wp), intent(in) :: parameters(:, :)
      type(error_type), allocatable, intent(inout) :: error
      integer :: f, p, n_needed
      character(len=24) :: name

      if (size(kind) < 1 .or. any(shape(parameters) /= [4, size(kind)]) .or. &
         any(shape(neighbours) /= [2, size(kind)])) then
         call raise(error, error_size, "table of symmetry functions has the wrong size")
         return
      end if
      do f = 1, size(kind)
         write (name, "(a,i0)") "symmetry function ", f
         if (kind(f) < 1 .or. kind(f) > 5) then
            call raise(error, error_value, trim(name)//": G must lie between 1 and 5")
            return
         end if
         n_needed = merge(1, 2, kind(f) <= 3)
         do p = 1, n_needed
            if (neighbours(p, f) < 1 .or. neighbours(p, f) > size(environment)) then
               call raise(error, error_species, trim(name)//" names no neighbour species")
            else if (environment(neighbours(p, f)) < 1) then
               call raise(error, error_species, trim(name)//" names a neighbour species that is not in ENV")
            end if
         end do
         if (.not. (parameters(1, f) > 0.0_wp .and. parameters(1, f) < 1.0e4_wp)) then
           call raise(error, error_value, trim(name)//": the cutoff must be positive and below 10000")
         end if
         if (.not. all(abs(parameters(:, f)) < 1.0e10_wp)) then
           call raise(error, error_value, trim(name)//": a parameter is not finite")
         end if
         if (kind(f) >= 4) then
            ! Otherwise the base of the power could become negative
            if (.not. abs(parameters(2, f)) <= 1.0_wp) then
              call raise(error, error_value, trim(name)//": lambda must lie between -1 and 1")
            end if
            if (.not. parameters(3, f) >= 0.0_wp) then
              call raise(error, error_value, trim(name)//": zeta must not be negative")
            end if
         end if
         if (allocated(error)) return
      end do
   end subroutine check_table

   !> Place of each function's value: over type2 in the order of ENV, G1, G2, G3, then over type3 from type2 on, G4, G5
   subroutine order_of_values(kind, neighbours, environment, feature, error)
      !> The table of functions, see `new_behler`
      integer, intent(in) :: kind(:), neighbours(:, :), environment(:)
      !> (n_functions) place of each value
      integer, allocatable, intent(out) :: feature(:)
      type(error_type), allocatable, intent(inout) :: error
      integer :: a, b, k, f, n, status

      allocate (feature(size(kind)), source=0, stat=status)
      call check_memory(status, "the order of symmetry functions", 4_i8*size(kind), error)
      if (allocated(error)) return
      n = 0
      do a = 1, maxval(environment)
         do k = 1, 3
            do f = 1, size(kind)
               if (kind(f) /= k) cycle
               if (environment(neighbours(1, f)) /= a) cycle
               n = n + 1
               feature(f) = n
            end do
         end do
         do b = a, maxval(environment)
            do k = 4, 5
               do f = 1, size(kind)
                  if (kind(f) /= k) cycle
                  if (minval(environment(neighbours(:, f))) /= a .or. maxval(environment(neighbours(:, f))) /= b) cycle
                  n = n + 1
                  feature(f) = n
               end do
            end do
         end do
      end do
   end subroutine order_of_values

   !> Radial group from its functions
   subroutine new_radial(kind, parameters, feature, radial, error)
      !> The table of functions, see `new_behler`
      integer, intent(in) :: kind(:)
      real(wp), intent(in) :: parameters(:, :)
      !> (n_functions) place of each value
      integer, intent(in) :: feature(:)
      type(radial_type), intent(inout) :: radial
      type(error_type), allocatable, intent(inout) :: error
      integer, allocatable :: order(:)
      integer :: i, n, status

      n = size(kind)
      ! Ascending in η, so that an exponential finds its base before it
      order = ascending(parameters(3, :))
      radial%n = n
      radial%kind = kind(order)
      radial%place = parameters(2, order)
      radial%eta = parameters(3, order)
      radial%feature = feature(order)
      allocate (radial%base(n), radial%power(n), source=0, stat=status)
      call check_memory(status, "a group of radial functions", 8_i8*n, error)
      if (allocated(error)) return
      do i = 1, n
         if (radial%kind(i) == 2) call find_base(radial%eta, radial%kind == 2 .and. radial%place == radial%place(i), &
            i, radial%base, radial%power)
      end do
   end subroutine new_radial

   !> Angular group from its functions
   subroutine new_angular(parameters, feature, angular, error)
      real(wp), intent(in) :: parameters(:, :)
      !> (n_functions) place of each value
      integer, intent(in) :: feature(:)
      type(angular_type), intent(inout) :: angular
      type(error_type), allocatable, intent(inout) :: error
      integer, allocatable :: order(:)
      integer :: i, f, m, n, q, status
      real(wp) :: lambda, zeta

      n = size(feature)
      order = ascending(parameters(4, :))
      allocate (angular%eta(n), angular%lambda(n), angular%zeta(n), angular%first(n + 1), angular%column(n), &
         angular%feature(n), stat=status)
      call check_memory(status, "a group of angular functions", 36_i8*n, error)
      if (allocated(error)) return
      m = 0
      q = 0
      do i = 1, n
         f = order(i)
         if (m > 0) then
            if (parameters(4, f) /= angular%eta(m)) m = m + 1
         else
            m = 1
         end if
         angular%eta(m) = parameters(4, f)
         angular%first(m + 1) = i
         lambda = parameters(2, f)
         zeta = parameters(3, f)
         angular%column(i) = findloc(angular%lambda(:q) == lambda .and. angular%zeta(:q) == zeta, .true., dim=1)
         if (angular%column(i) == 0) then
            q = q + 1
            angular%lambda(q) = lambda
            angular%zeta(q) = zeta
            angular%column(i) = q
         end if
         angular%feature(i) = feature(f)
      end do
      angular%first(1) = 0
      angular%n_exponent = m
      angular%n_power = q
      allocate (angular%whole(q), angular%short(q), angular%series(0:longest, q), angular%base(m), angular%power(m), &
         stat=status)
      call check_memory(status, "a group of angular functions", (8_i8*longest + 16)*q + 8_i8*m, error)
      if (allocated(error)) return
      angular%whole = -1
      angular%base = 0
      angular%power = 0
      do i = 1, q
         if (angular%zeta(i) <= highest_whole .and. angular%zeta(i) == aint(angular%zeta(i))) then
           angular%whole(i) = nint(angular%zeta(i))
         end if
         angular%short(i) = any(angular%whole(i) == short_powers)
         angular%series(:, i) = 0.0_wp
         if (angular%short(i)) angular%series(:, i) = series_of_power(angular%lambda(i), angular%whole(i))
      end do
      do i = 1, m
         call find_base(angular%eta(:m), angular%eta(:m) > 0.0_wp, i, angular%base, angular%power)
      end do
   end subroutine new_angular

   !> Coefficients of [½(1 + λx)]^ζ in powers of x
   pure function series_of_power(lambda, zeta) result(series)
      real(wp), intent(in) :: lambda
      !> At most `longest`
      integer, intent(in) :: zeta
      real(wp) :: series(0:longest)
      integer :: i

      series = 0.0_wp
      series(0) = 1.0_wp
      do i = 1, zeta
         series = 0.5_wp*(series + lambda*eoshift(series, -1))
      end do
   end function series_of_power

   !> Base and power of exponent i: the largest earlier one of which η(i) is a whole multiple
   pure subroutine find_base(eta, eligible, i, base, power)
      !> (n)
      real(wp), intent(in) :: eta(:)
      !> (n) may it be computed as a power of another?
      logical, intent(in) :: eligible(:)
      integer, intent(in) :: i
      !> (n) which exponential each is computed from, and to which power
      integer, intent(inout) :: base(:), power(:)
      real(wp) :: ratio
      integer :: b, root, multiple

      base(i) = 0
      power(i) = 1
      if (eta(i) <= 0.0_wp) return
      do b = i - 1, 1, -1
         if (.not. eligible(b) .or. eta(b) <= 0.0_wp) cycle
         ratio = eta(i)/eta(b)
         if (ratio > highest_power + 0.5_wp) cycle
         if (abs(ratio - anint(ratio)) > 8.0_wp*epsilon(ratio)*ratio) cycle
         root = b
         multiple = nint(ratio)
         do while (base(root) /= 0)
            multiple = multiple*power(root)
            root = base(root)
         end do
         if (multiple > highest_power) cycle
         base(i) = b
         power(i) = nint(ratio)
         return
      end do
   end subroutine find_base

   !> Indices that sort x, equal ones in their order
   pure function ascending(x) result(order)
      real(wp), intent(in) :: x(:)
      integer :: order(size(x))
      integer :: i, j

      do i = 1, size(x)
         j = i
         do while (j > 1)
            if (x(order(j - 1)) <= x(i)) exit
            order(j) = order(j - 1)
            j = j - 1
         end do
         order(j) = i
      end do
   end function ascending

end module tf_behler_tables
