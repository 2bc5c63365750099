!> Both ways through a force map, for one structure: from derivatives with respect to descriptors to forces, and from
!> displacements of atoms to changes of descriptors.
!>
!> Sums over functions, neighbours and points of the grid have the precision of the panels, forces and what is exchanged
!> with the descriptors the double one.
module tf_force_map_passes
   use tf_kinds, only : wp, rp => wp, sp, i8
   use tf_force_map, only : force_map_type, lanes_of_group
   use tf_group_products, only : combine_group, project_on_group
   use tf_radial_grid, only : spread_on_grid, collect_from_grid, window, most_points
   implicit none
   private
   public :: take_coefficients, give_changes, add_forces, add_changes

contains

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
      real(rp), intent(inout) :: radial(map%n_points, map%n_species, n), group(map%n_group, map%n_species, n)
      integer :: u, k, one, two

      if (map%radial_count(t) == 0) then
         radial = 0.0_rp
         do u = 1, map%n_species
            do k = 1, size(map%pair_feature, 1)
               if (map%pair_feature(k, u, t) == 0) exit
               radial(k, u, :) = real(g(:, map%pair_feature(k, u, t)), rp)
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
               group(k, u, :) = real(g(:, one) + map%weight(u, t)*g(:, two), rp)
            else
               group(k, u, :) = real(g(:, one), rp)
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
      real(rp), intent(inout) :: radial(map%n_points, map%n_species, n)
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
                  radial(l, u, i) = real(e + o, rp)
                  radial(n_points + 1 - l, u, i) = real(e - o, rp)
               end do
            else
               !$omp simd
               do l = 1, n_half
                  radial(l, u, i) = real(even(l, i) + odd(l, i), rp)
                  radial(n_points + 1 - l, u, i) = real(even(l, i) - odd(l, i), rp)
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
      real(rp), intent(in) :: radial(map%n_points, map%n_species, n), group(map%n_group, map%n_species, n)
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
      real(rp), intent(in) :: radial(map%n_points, map%n_species, n)
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
      real(rp), intent(in) :: radial(map%n_points, map%n_species, n_atoms), &
         group(map%n_group, map%n_species, n_atoms)
      !> Fourth component: not used
      real(wp), intent(out) :: force(4, n_atoms)
      real(rp) :: pushes(lanes_of_group(n_atoms) + 1)
      integer :: i, u, n
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
            pushes(lanes_of_group(n) + 1) = 0.0_rp
            call push_atoms(n_atoms, n, i, map%group_atom(a + 1:a + n), pushes, force)
         end do
      end do
   end subroutine add_forces

   !> Push the n atoms of a group of atom i, and atom i the other way
   pure subroutine push_atoms(n_atoms, n, i, atom, pushes, force)
      !> Atoms of the structure and of the group
      integer, intent(in) :: n_atoms, n, i
      integer, intent(in) :: atom(n)
      !> Components x, y, z of one after the other, and one number more
      real(rp), intent(in) :: pushes(3*n + 1)
      real(wp), intent(inout) :: force(4, n_atoms)
      real(wp) :: own(4), push
      integer :: c, l, j

      ! The x of the next atom goes into the fourth component, which nobody looks at
      own = 0.0_wp
      do l = 1, n
         j = atom(l)
         !$omp simd private(push)
         do c = 1, 4
            push = real(pushes(3*(l - 1) + c), wp)
            own(c) = own(c) + push
            force(c, j) = force(c, j) - push
         end do
      end do
      force(:, i) = force(:, i) + own
   end subroutine push_atoms

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
      real(rp), intent(out) :: radial(map%n_points, map%n_species, n_atoms), &
         group(map%n_group, map%n_species, n_atoms)
      real(rp) :: moves(lanes_of_group(n_atoms) + 1)
      integer :: i, u, n
      integer(i8) :: k, a, v

      radial = 0.0_rp
      group = 0.0_rp
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
            call gather_moves(n_atoms, n, i, map%group_atom(a + 1:a + n), move, moves)
            moves(3*n + 1:lanes_of_group(n)) = 0.0_rp
            call project_on_group(lanes_of_group(n), map%group_count(u, species(i)), moves, &
               map%group_scale(:, u, first + i), map%group_value(v + 1:), group(1, u, i))
         end do
      end do
   end subroutine add_changes

   !> Displacements of the n atoms of a group against atom i
   pure subroutine gather_moves(n_atoms, n, i, atom, move, moves)
      !> As for `push_atoms`
      integer, intent(in) :: n_atoms, n, i
      integer, intent(in) :: atom(n)
      real(wp), intent(in) :: move(4, n_atoms)
      !> One after the other
      real(rp), intent(out) :: moves(3*n + 1)
      integer :: c, l, j

      ! The fourth component is overwritten by the x of the next
      do l = 1, n
         j = atom(l)
         !$omp simd
         do c = 1, 4
            moves(3*(l - 1) + c) = real(move(c, j) - move(c, i), rp)
         end do
      end do
   end subroutine gather_moves

   !> Forces of the n pairs of atom i, of species t, with atoms of species u
   pure subroutine pair_forces(n_points, n_species, n_atoms, n, i, u, t, atom, place, unit, value, radial, force)
      !> Extents; pairs of atom i, of species t, with atoms of species u; the pairs as in `force_map_type`
      integer, intent(in) :: n_points, n_species, n_atoms, n, i, u, t
      integer, intent(in) :: atom(n), place(n)
      real(sp), intent(in) :: unit(4, n), value(window, n)
      real(rp), intent(in) :: radial(n_points, n_species, n_atoms)
      real(wp), intent(inout) :: force(4, n_atoms)
      real(rp) :: part(window), half(window/2), slope
      real(wp) :: push, own(4)
      integer :: k, j, l, c, p

      own = 0.0_wp
      do k = 1, n
         j = atom(k)
         p = place(k)
         !$omp simd
         do l = 1, window
            part(l) = (radial(p + l, u, i) + radial(p + l, t, j))*real(value(l, k), rp)
         end do
         !$omp simd
         do l = 1, window/2
            half(l) = part(l) + part(l + window/2)
         end do
         slope = sum(half)
         !$omp simd private(push)
         do c = 1, 4
            push = real(slope, wp)*real(unit(c, k), wp)
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
      real(rp), intent(inout) :: radial(n_points, n_species, n_atoms)

      ! Windows of the next pair overlap this one's: in turn to four sums, or the processor waits for its own stores
      real(rp) :: own(most_points, 0:3), longer, change
      integer :: k, j, l, p, turn
      own(:n_points, :) = 0.0_rp
      do k = 1, n
         j = atom(k)
         p = place(k)
         turn = iand(k, 3)
         longer = real(real(unit(1, k), wp)*(move(1, j) - move(1, i)) + real(unit(2, k), wp)*(move(2, j) - move(2, i)) &
            + real(unit(3, k), wp)*(move(3, j) - move(3, i)), rp)
         !$omp simd private(change)
         do l = 1, window
            change = longer*real(value(l, k), rp)
            own(p + l, turn) = own(p + l, turn) + change
            radial(p + l, t, j) = radial(p + l, t, j) + change
         end do
      end do
      radial(:, u, i) = radial(:, u, i) + ((own(:n_points, 0) + own(:n_points, 1)) + (own(:n_points, 2) + own(:n_points, 3)))
   end subroutine pair_changes

end module tf_force_map_passes
