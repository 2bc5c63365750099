!> How the descriptors of a data set change when atoms move, kept compactly from epoch to epoch.
!>
!> Between the derivatives of the atomic energies with respect to the descriptors and the forces stands a constant
!> linear map that only the geometry determines.  Both ways are needed once an epoch: from descriptor derivatives to
!> forces, and from displacements (residual forces) to changes of the descriptors.  Its numbers are kept in single
!> precision or 16 bits (groups) and used in double: the loss is that of forces off by a few 1e-7 of their parts, or 1e-5, and
!> its gradient is exact.
!>
!> A descriptor's Chebyshev radial part is Σ_j h(r_ij), and where both atoms of a pair have the same functions h of
!> r, at most `most_orders`, the pair is stored once ("pairs"): a unit vector, and dh/dr of all orders as eight weights
!> on a grid (tf_radial_grid).  Radial symmetry functions that both atoms have are stored so too, eight dh/dr at a time.
!> Everything else (angular parts, other symmetry functions) is stored for each centre and species of its neighbours as one
!> matrix over displacement components and functions ("groups", tf_group_products), periodic images of an atom summed up.
!> An atom's own derivative is minus the sum of the others, so only differences of displacements enter.
!>
!> Atoms of a structure are ordered by species ("canonical").
module tf_force_map
   use tf_kinds, only : wp, sp, i8, padded
   use tf_error, only : error_type, check_memory
   use tf_group_products, only : combine_group, project_on_group
   use tf_radial_grid, only : radial_grid_type, new_radial_grid, spread_on_grid, collect_from_grid, window, &
      most_points, most_orders
   implicit none
   private
   public :: force_map_type, new_force_map, changes_of_structure, take_coefficients, give_changes, add_forces, &
      add_changes, lanes_of_group

   !> Views of the caller's arrays
   type :: force_map_type
      integer :: n_species = 0
      !> Most functions of a group, and coefficients of pairs with a species
      integer :: n_group = 0, n_points = 0
      !> Of the radial functions that pairs serve
      type(radial_grid_type) :: grid
      !> (n_species) radial functions of each centre that pairs serve on the grid, and place before their weighted half, 0 if none
      integer, pointer, contiguous :: radial_count(:) => null(), radial_half(:) => null()
      !> (most, n_species, n_species) radial functions of a neighbour species (second) and a centre that pairs serve one by
      !> one, a window at a time: the descriptor value of each, then 0
      integer, pointer, contiguous :: pair_feature(:, :, :) => null()
      !> (n_species, n_species) weight of a neighbour species (first) in the weighted half of a centre
      real(wp), pointer, contiguous :: weight(:, :) => null()
      !> (n_species, n_species) functions in the group of a neighbour species (first) and a centre
      integer, pointer, contiguous :: group_count(:, :) => null()
      !> (2, n_group, n_species, n_species) the descriptor value of each, and a second one with `weight`, 0 if none
      integer, pointer, contiguous :: group_feature(:, :, :, :) => null()
      !> (n_atoms·n_species + 1) pairs of an atom with later ones of a species stand behind this many
      integer(i8), pointer, contiguous :: pair_first(:) => null()
      !> (n_pairs) the other atom, canonical number in its structure, and points of the grid before the window
      integer, pointer, contiguous :: pair_atom(:) => null(), pair_place(:) => null()
      !> (4, n_pairs) unit vector to it, 0;  (window, n_pairs) weights of the slopes, 1/Å
      real(sp), pointer, contiguous :: pair_unit(:, :) => null(), pair_value(:, :) => null()
      !> (n_atoms·n_species + 1) neighbours and values of group (neighbour species, centre) stand behind this many
      integer(i8), pointer, contiguous :: group_atom_first(:) => null(), group_value_first(:) => null()
      !> Neighbours of each group, canonical numbers
      integer, pointer, contiguous :: group_atom(:) => null()
      !> (lanes_of_group, words of functions) of each group: components x, y, z of its neighbours one after the other, padded;
      !> tf_group_products
      integer, pointer, contiguous :: group_value(:) => null()
      !> (n_group, n_species, n_atoms) what the values of each function are multiples of, 1/Å
      real(sp), pointer, contiguous :: group_scale(:, :, :) => null()
      !> (n_structures + 1) atoms of structure s are first_atom(s) + 1 … first_atom(s + 1)
      integer(i8), pointer, contiguous :: first_atom(:) => null()
      !> (n_atoms)
      integer, pointer, contiguous :: species(:) => null()
      !> (n_species) values of each descriptor
      integer, allocatable :: n_features(:)
      !> Are there arrays that fit each other, and do they hold values?
      logical :: has_arrays = .false., has_values = .false.
   end type force_map_type

contains

   !> Complete a map whose arrays are set
   subroutine new_force_map(map, error)
      type(force_map_type), intent(inout) :: map
      type(error_type), allocatable, intent(inout) :: error

      map%n_species = size(map%radial_count)
      map%n_group = size(map%group_feature, 2)
      map%n_points = padded(size(map%pair_feature, 1))
      call new_radial_grid(min(max(0, maxval(map%radial_count)), most_orders), map%grid, error)
      map%n_points = max(map%n_points, map%grid%n_points)
   end subroutine new_force_map

   !> Rows of the matrix of a group with n neighbours
   pure integer function lanes_of_group(n)
      !> Neighbours
      integer, intent(in) :: n

      lanes_of_group = padded(3*n)
   end function lanes_of_group

   !> Changes of the standardised descriptors of structure s along displacements of its atoms
   subroutine changes_of_structure(map, s, n_features, factor, displacement, change, error)
      type(force_map_type), intent(in) :: map
      !> From 1
      integer, intent(in) :: s
      !> (n_species) values of each descriptor, and (n_feature_most, n_species) their standardisation
      integer, intent(in) :: n_features(:)
      real(wp), intent(in) :: factor(:, :)
      !> (3, n_atoms, n_directions) Å
      real(wp), intent(in) :: displacement(:, :, :)
      !> (n_values, n_directions) per species, feature by feature, atom by atom
      real(sp), intent(inout) :: change(:, :)
      type(error_type), allocatable, intent(inout) :: error
      real(wp), allocatable :: radial(:, :, :), group(:, :, :), parities(:), columns(:), move(:, :), g(:)
      integer, allocatable :: atoms(:)
      integer :: v, t, n, f, l, n_of, first, at, status

      atoms = map%species(map%first_atom(s) + 1:map%first_atom(s + 1))
      n = size(atoms)
      allocate (radial(map%n_points, map%n_species, n), group(map%n_group, map%n_species, n), move(4, n), &
         parities(4*map%grid%n_half*n), columns(map%grid%n_columns*n), g(n*maxval(n_features)), stat=status)
      call check_memory(status, "the changes of descriptors", 8_i8*n*((map%n_points + map%n_group)*map%n_species + 4 &
         + 4*map%grid%n_half + map%grid%n_columns + maxval(n_features)), error)
      if (allocated(error)) return
      do v = 1, size(displacement, 3)
         move(:3, :) = displacement(:, :, v)
         move(4, :) = 0.0_wp
         call add_changes(map, map%first_atom(s), n, atoms, move, radial, group)

         ! As a panel: for each species its features, for each of these its atoms
         first = 0
         at = 0
         do t = 1, map%n_species
            n_of = count(atoms == t)
            if (n_of == 0) cycle
            call give_changes(map, t, n_of, n_features(t), radial(:, :, first + 1:), group(:, :, first + 1:), &
               parities, columns, g)
            l = 0
            do f = 1, n_features(t)
               change(at + 1:at + n_of, v) = real(factor(f, t)*g(l + 1:l + n_of), sp)
               l = l + n_of
               at = at + n_of
            end do
            first = first + n_of
         end do
      end do
   end subroutine changes_of_structure

   !> Coefficients of the pairs and groups of n atoms of one species, from the derivatives of their energies with
   !> respect to their descriptors
   pure subroutine take_coefficients(map, t, n, n_feature, g, parities, columns, radial, group)
      type(force_map_type), intent(in) :: map
      !> Species of the atoms
      integer, intent(in) :: t, n, n_feature
      !> Derivative with respect to each descriptor value
      real(wp), intent(in) :: g(n, n_feature)
      !> Scratch
      real(wp), intent(inout) :: parities(map%grid%n_half, n, 4), columns(map%grid%n_columns*n)
      !> By the species of the other atom: coefficients of pairs, on the grid, and of groups
      real(wp), intent(inout) :: radial(map%n_points, map%n_species, n), group(map%n_group, map%n_species, n)
      integer :: u, k, one, two

      if (map%radial_count(t) == 0) then
         radial = 0.0_wp
         do u = 1, map%n_species
            do k = 1, size(map%pair_feature, 1)
               if (map%pair_feature(k, u, t) == 0) exit
               radial(k, u, :) = g(:, map%pair_feature(k, u, t))
            end do
         end do
      end if
      if (map%radial_count(t) > 0) call take_radial(map, t, n, n_feature, g, parities(1, 1, 1), parities(1, 1, 2), &
         parities(1, 1, 3), parities(1, 1, 4), columns, radial)
      do u = 1, map%n_species
         do k = 1, map%group_count(u, t)
            one = map%group_feature(1, k, u, t)
            two = map%group_feature(2, k, u, t)
            if (two > 0) then
               group(k, u, :) = g(:, one) + map%weight(u, t)*g(:, two)
            else
               group(k, u, :) = g(:, one)
            end if
         end do
      end do
   end subroutine take_coefficients

   !> The part of pairs
   pure subroutine take_radial(map, t, n, n_feature, g, even, odd, even_weighted, odd_weighted, columns, radial)
      type(force_map_type), intent(in) :: map
      !> Species, atoms of it, values of its descriptor
      integer, intent(in) :: t, n, n_feature
      real(wp), intent(in) :: g(n, n_feature)
      !> Scratch
      real(wp), intent(inout), dimension(map%grid%n_half, n) :: even, odd, even_weighted, odd_weighted
      real(wp), intent(inout) :: columns(map%grid%n_columns*n)
      real(wp), intent(inout) :: radial(map%n_points, map%n_species, n)
      real(wp) :: e, o, weight
      integer :: i, u, l, half

      half = map%radial_half(t)
      associate (n_points => map%grid%n_points, n_half => map%grid%n_half, n_orders => map%radial_count(t))
      call spread_on_grid(map%grid, n, n_orders, g, columns, even, odd)
      if (half > 0) call spread_on_grid(map%grid, n, n_orders, g(1, half + 1), columns, even_weighted, odd_weighted)
      do i = 1, n
         do u = 1, map%n_species
            weight = map%weight(u, t)
            if (half > 0) then
               !$omp simd private(e, o)
               do l = 1, n_half
                  e = even(l, i) + weight*even_weighted(l, i)
                  o = odd(l, i) + weight*odd_weighted(l, i)
                  radial(l, u, i) = e + o
                  radial(n_points + 1 - l, u, i) = e - o
               end do
            else
               !$omp simd
               do l = 1, n_half
                  radial(l, u, i) = even(l, i) + odd(l, i)
                  radial(n_points + 1 - l, u, i) = even(l, i) - odd(l, i)
               end do
            end if
         end do
      end do
      end associate
   end subroutine take_radial

   !> Changes of the descriptor values of n atoms of one species from those of their pairs and groups
   pure subroutine give_changes(map, t, n, n_feature, radial, group, parities, columns, g_dot)
      type(force_map_type), intent(in) :: map
      !> Species, atoms of it, values of its descriptor
      integer, intent(in) :: t, n, n_feature
      real(wp), intent(in) :: radial(map%n_points, map%n_species, n), group(map%n_group, map%n_species, n)
      !> Scratch
      real(wp), intent(inout) :: parities(map%grid%n_half, n, 4), columns(map%grid%n_columns*n)
      real(wp), intent(out) :: g_dot(n, n_feature)
      integer :: u, k, one, two

      g_dot = 0.0_wp
      if (map%radial_count(t) > 0) call give_radial(map, t, n, n_feature, radial, parities(1, 1, 1), parities(1, 1, 2), &
         parities(1, 1, 3), parities(1, 1, 4), columns, g_dot)
      do u = 1, map%n_species
         do k = 1, size(map%pair_feature, 1)
            one = map%pair_feature(k, u, t)
            if (one == 0) exit
            g_dot(:, one) = g_dot(:, one) + radial(k, u, :)
         end do
         do k = 1, map%group_count(u, t)
            one = map%group_feature(1, k, u, t)
            two = map%group_feature(2, k, u, t)
            g_dot(:, one) = g_dot(:, one) + group(k, u, :)
            if (two > 0) g_dot(:, two) = g_dot(:, two) + map%weight(u, t)*group(k, u, :)
         end do
      end do
   end subroutine give_changes

   !> The part of pairs
   pure subroutine give_radial(map, t, n, n_feature, radial, even, odd, even_weighted, odd_weighted, columns, g_dot)
      type(force_map_type), intent(in) :: map
      !> As for `give_changes`
      integer, intent(in) :: t, n, n_feature
      real(wp), intent(in) :: radial(map%n_points, map%n_species, n)
      real(wp), intent(inout), dimension(map%grid%n_half, n) :: even, odd, even_weighted, odd_weighted
      real(wp), intent(inout) :: columns(map%grid%n_columns*n)
      real(wp), intent(inout) :: g_dot(n, n_feature)
      real(wp) :: e, o, weight
      integer :: i, u, l, half

      half = map%radial_half(t)
      associate (n_points => map%grid%n_points, n_orders => map%radial_count(t))
      even = 0.0_wp
      odd = 0.0_wp
      if (half > 0) then
         even_weighted = 0.0_wp
         odd_weighted = 0.0_wp
      end if
      do i = 1, n
         do u = 1, map%n_species
            weight = map%weight(u, t)
            if (half > 0) then
               !$omp simd private(e, o)
               do l = 1, map%grid%n_half
                  e = radial(l, u, i) + radial(n_points + 1 - l, u, i)
                  o = radial(l, u, i) - radial(n_points + 1 - l, u, i)
                  even(l, i) = even(l, i) + e
                  odd(l, i) = odd(l, i) + o
                  even_weighted(l, i) = even_weighted(l, i) + weight*e
                  odd_weighted(l, i) = odd_weighted(l, i) + weight*o
               end do
            else
               !$omp simd
               do l = 1, map%grid%n_half
                  even(l, i) = even(l, i) + (radial(l, u, i) + radial(n_points + 1 - l, u, i))
                  odd(l, i) = odd(l, i) + (radial(l, u, i) - radial(n_points + 1 - l, u, i))
               end do
            end if
         end do
      end do
      call collect_from_grid(map%grid, n, n_orders, even, odd, columns, g_dot)
      if (half > 0) call collect_from_grid(map%grid, n, n_orders, even_weighted, odd_weighted, columns, g_dot(1, half + 1))
      end associate
   end subroutine give_radial

   !> Forces of a structure: F_j = -Σ_i Σ_f g_if ∂G_if/∂R_j
   pure subroutine add_forces(map, first, n_atoms, species, radial, group, force)
      type(force_map_type), intent(in) :: map
      !> Atoms of the data set before this structure, and its atoms
      integer(i8), intent(in) :: first
      integer, intent(in) :: n_atoms
      !> Canonical, ascending
      integer, intent(in) :: species(n_atoms)
      !> From `take_coefficients`
      real(wp), intent(in) :: radial(map%n_points, map%n_species, n_atoms), &
         group(map%n_group, map%n_species, n_atoms)
      !> Fourth component: not used
      real(wp), intent(out) :: force(4, n_atoms)
      real(wp) :: pushes(lanes_of_group(n_atoms))
      integer :: i, u, n, c, j, l
      integer(i8) :: k, a, v

      force = 0.0_wp
      do i = 1, n_atoms
         do u = 1, map%n_species
            k = (first + i - 1)*map%n_species + u
            a = map%pair_first(k)
            n = int(map%pair_first(k + 1) - a)
            if (n > 0) call pair_forces(map%n_points, map%n_species, n_atoms, n, i, u, species(i), &
               map%pair_atom(a + 1:a + n), map%pair_place(a + 1:a + n), map%pair_unit(:, a + 1:a + n), &
               map%pair_value(:, a + 1:a + n), radial, force)
            a = map%group_atom_first(k)
            n = int(map%group_atom_first(k + 1) - a)
            if (n == 0) cycle
            v = map%group_value_first(k)
            if (map%group_value_first(k + 1) == v) cycle
            call combine_group(lanes_of_group(n), map%group_count(u, species(i)), group(1, u, i), &
               map%group_scale(:, u, first + i), map%group_value(v + 1:), pushes)
            do l = 1, n
               j = map%group_atom(a + l)
               do c = 1, 3
                  force(c, j) = force(c, j) - pushes(3*(l - 1) + c)
                  force(c, i) = force(c, i) + pushes(3*(l - 1) + c)
               end do
            end do
         end do
      end do
   end subroutine add_forces

   !> Changes of the descriptors when atoms move: the transpose
   pure subroutine add_changes(map, first, n_atoms, species, move, radial, group)
      type(force_map_type), intent(in) :: map
      !> Atoms of the data set before the structure, its atoms and their species
      integer(i8), intent(in) :: first
      integer, intent(in) :: n_atoms
      integer, intent(in) :: species(n_atoms)
      !> Displacements; the fourth component is 0
      real(wp), intent(in) :: move(4, n_atoms)
      !> For `give_changes`
      real(wp), intent(out) :: radial(map%n_points, map%n_species, n_atoms), &
         group(map%n_group, map%n_species, n_atoms)
      real(wp) :: moves(lanes_of_group(n_atoms))
      integer :: i, u, n, c, j, l
      integer(i8) :: k, a, v

      radial = 0.0_wp
      group = 0.0_wp
      do i = 1, n_atoms
         do u = 1, map%n_species
            k = (first + i - 1)*map%n_species + u
            a = map%pair_first(k)
            n = int(map%pair_first(k + 1) - a)
            if (n > 0) call pair_changes(map%n_points, map%n_species, n_atoms, n, i, u, species(i), &
               map%pair_atom(a + 1:a + n), map%pair_place(a + 1:a + n), map%pair_unit(:, a + 1:a + n), &
               map%pair_value(:, a + 1:a + n), move, radial)
            a = map%group_atom_first(k)
            n = int(map%group_atom_first(k + 1) - a)
            if (n == 0) cycle
            v = map%group_value_first(k)
            if (map%group_value_first(k + 1) == v) cycle
            do l = 1, n
               j = map%group_atom(a + l)
               do c = 1, 3
                  moves(3*(l - 1) + c) = move(c, j) - move(c, i)
               end do
            end do
            moves(3*n + 1:lanes_of_group(n)) = 0.0_wp
            call project_on_group(lanes_of_group(n), map%group_count(u, species(i)), moves, &
               map%group_scale(:, u, first + i), map%group_value(v + 1:), group(1, u, i))
         end do
      end do
   end subroutine add_changes

   !> Forces of the n pairs of atom i, of species t, with atoms of species u
   pure subroutine pair_forces(n_points, n_species, n_atoms, n, i, u, t, atom, place, unit, value, radial, force)
      !> Extents; pairs of atom i, of species t, with atoms of species u; the pairs as in `force_map_type`
      integer, intent(in) :: n_points, n_species, n_atoms, n, i, u, t
      integer, intent(in) :: atom(n), place(n)
      real(sp), intent(in) :: unit(4, n), value(window, n)
      real(wp), intent(in) :: radial(n_points, n_species, n_atoms)
      real(wp), intent(inout) :: force(4, n_atoms)
      real(wp) :: part(window), half(window/2), slope, push, own(4)
      integer :: k, j, l, c, p

      own = 0.0_wp
      do k = 1, n
         j = atom(k)
         p = place(k)
         !$omp simd
         do l = 1, window
            part(l) = (radial(p + l, u, i) + radial(p + l, t, j))*real(value(l, k), wp)
         end do
         !$omp simd
         do l = 1, window/2
            half(l) = part(l) + part(l + window/2)
         end do
         slope = sum(half)
         !$omp simd private(push)
         do c = 1, 4
            push = slope*real(unit(c, k), wp)
            own(c) = own(c) + push
            force(c, j) = force(c, j) - push
         end do
      end do
      force(:, i) = force(:, i) + own
   end subroutine pair_forces

   !> Sums on the grid of the same pairs when their atoms move
   pure subroutine pair_changes(n_points, n_species, n_atoms, n, i, u, t, atom, place, unit, value, move, radial)
      !> As for `pair_forces`; displacements (Å) of the atoms
      integer, intent(in) :: n_points, n_species, n_atoms, n, i, u, t
      integer, intent(in) :: atom(n), place(n)
      real(sp), intent(in) :: unit(4, n), value(window, n)
      real(wp), intent(in) :: move(4, n_atoms)
      real(wp), intent(inout) :: radial(n_points, n_species, n_atoms)

      ! Windows of the next pair overlap this one's: in turn to four sums, or the processor waits for its own stores
      real(wp) :: own(most_points, 0:3), longer, change
      integer :: k, j, l, p, turn
      own(:n_points, :) = 0.0_wp
      do k = 1, n
         j = atom(k)
         p = place(k)
         turn = iand(k, 3)
         longer = real(unit(1, k), wp)*(move(1, j) - move(1, i)) + real(unit(2, k), wp)*(move(2, j) - move(2, i)) &
            + real(unit(3, k), wp)*(move(3, j) - move(3, i))
         !$omp simd private(change)
         do l = 1, window
            change = longer*real(value(l, k), wp)
            own(p + l, turn) = own(p + l, turn) + change
            radial(p + l, t, j) = radial(p + l, t, j) + change
         end do
      end do
      radial(:, u, i) = radial(:, u, i) + ((own(:n_points, 0) + own(:n_points, 1)) + (own(:n_points, 2) + own(:n_points, 3)))
   end subroutine pair_changes

end module tf_force_map
