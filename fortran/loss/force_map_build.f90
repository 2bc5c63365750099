!> Making the force map of a structure: how much room that takes, and the values.
module tf_force_map_build
   use tf_kinds, only : wp, sp, i8
   use tf_error, only : error_type, check_memory
   use tf_neighbours, only : neighbour_list_type, build_neighbour_list, place_ghosts
   use tf_surroundings, only : surroundings_type, new_surroundings, gather
   use tf_chebyshev_functions, only : radial_term_slopes
   use tf_behler, only : radial_function_slopes
   use tf_descriptor, only : descriptor_type, descriptor_work_type, new_descriptor_work, descriptor_scratch_type, &
      new_descriptor_scratch, descriptor_values, descriptor_gradients, check_species
   use tf_force_map, only : force_map_type, lanes_of_group
   use tf_force_map_plan, only : force_map_plan_type
   use tf_group_products, only : round_column
   use tf_stop, only : stop_type, must_stop
   use tf_radial_grid, only : radial_grid_type, places_on_grid, most_orders, window
   implicit none
   private
   public :: count_structure, fill_structure, strain_of_structure

   ! Pairs whose slopes are made together
   integer, parameter :: strip = 32

   !> Neighbours of an atom in its groups, and scratch
   type :: members_type
      !> (n_atoms) place of each atom in its group, 0 if in none
      integer, allocatable :: slot(:)
      !> Those of a species are first(u) + 1 … first(u + 1): which neighbours, images apart, and the place of the atom of each
      integer, allocatable :: first(:), near(:), at(:)
      !> Derivatives of the functions of an atom, and of one with respect to the atoms of a group
      real(wp), allocatable :: gradient(:), total(:)
   end type members_type

contains

   !> Numbers of pairs and of neighbours in each group of the atoms of a structure
   subroutine count_structure(descriptors, plan, position, cell, periodic, species, stop, n_pairs, &
         n_neighbours, n_merged, error)
      type(descriptor_type), intent(in) :: descriptors(:)
      !> Of a map that is not merged
      type(force_map_plan_type), intent(in) :: plan
      !> (3, n_atoms) Å, atoms in canonical order
      real(wp), intent(in) :: position(:, :)
      real(wp), intent(in) :: cell(3, 3)
      logical, intent(in) :: periodic(3)
      integer, intent(in), contiguous :: species(:)
      !> Whether the call is to end early
      type(stop_type), intent(inout) :: stop
      !> (n_species, n_atoms): pairs and neighbours, and neighbours with everything in groups
      integer, intent(out) :: n_pairs(:, :), n_neighbours(:, :), n_merged(:, :)
      type(error_type), allocatable, intent(inout) :: error
      type(neighbour_list_type) :: list
      type(surroundings_type) :: around
      integer, allocatable :: counted(:), counted_merged(:)
      real(wp), allocatable :: ghosts(:, :)
      integer :: i, j, k, t, u, status

      n_pairs = 0
      n_neighbours = 0
      n_merged = 0
      call list_neighbours(descriptors, position, cell, periodic, species, list, error)
      if (allocated(error)) return
      allocate (counted(size(species)), counted_merged(size(species)), ghosts(list%n_ghosts, 3), stat=status)
      call check_memory(status, "periodic images", 24_i8*list%n_ghosts + 8_i8*size(species), error)
      if (.not. allocated(error)) call new_surroundings(list%n_most, around, error)
      if (allocated(error)) return
      counted = 0
      counted_merged = 0
      call place_ghosts(list, list%position, ghosts)
      do i = 1, size(species)
         if (must_stop(stop, .true.)) return
         t = species(i)
         ! The distances are those `fill_structure` will see, to the last bit
         call gather(list, i, list%position, ghosts, species, around, error)
         if (allocated(error)) return
         do k = 1, around%n
            j = around%atom(k)
            if (j == i) cycle
            u = around%species(k)
            if (j > i .and. around%r(k) < plan%reach(u, t)) n_pairs(u, i) = n_pairs(u, i) + plan%windows(u, t)
            if (counted(j) /= i .and. around%r(k) < plan%group_reach(u, t)) then
               counted(j) = i
               n_neighbours(u, i) = n_neighbours(u, i) + 1
            end if
            if (counted_merged(j) /= i .and. around%r(k) < descriptors(t)%cutoff) then
               counted_merged(j) = i
               n_merged(u, i) = n_merged(u, i) + 1
            end if
         end do
      end do
   end subroutine count_structure

   subroutine list_neighbours(descriptors, position, cell, periodic, species, list, error)
      type(descriptor_type), intent(in) :: descriptors(:)
      !> (3, n_atoms) Å
      real(wp), intent(in) :: position(:, :), cell(3, 3)
      logical, intent(in) :: periodic(3)
      !> (n_atoms)
      integer, intent(in), contiguous :: species(:)
      type(neighbour_list_type), intent(out) :: list
      type(error_type), allocatable, intent(inout) :: error
      real(wp) :: reach
      integer :: t

      call check_species(descriptors, species, error)
      if (allocated(error)) return
      reach = 0.0_wp
      do t = 1, size(descriptors)
         if (any(species == t)) reach = max(reach, descriptors(t)%cutoff)
      end do
      call build_neighbour_list(position, cell, periodic, reach, list, error)
   end subroutine list_neighbours

   !> Fill the part of the map that belongs to one structure
   subroutine fill_structure(descriptors, plan, position, cell, periodic, species, first, stop, map, error)
      type(descriptor_type), intent(in) :: descriptors(:)
      !> Of this map
      type(force_map_plan_type), intent(in) :: plan
      !> As for `count_structure`
      real(wp), intent(in) :: position(:, :), cell(3, 3)
      logical, intent(in) :: periodic(3)
      integer, intent(in), contiguous :: species(:)
      !> Atoms of the data set before this structure
      integer(i8), intent(in) :: first
      type(stop_type), intent(inout) :: stop
      !> Tables and offsets are set
      type(force_map_type), intent(inout) :: map
      type(error_type), allocatable, intent(inout) :: error
      type(neighbour_list_type) :: list
      type(descriptor_work_type) :: work
      type(descriptor_scratch_type) :: scratch
      type(members_type) :: members
      real(wp), allocatable :: ghosts(:, :), values(:)
      integer :: i, t, most, status

      call list_neighbours(descriptors, position, cell, periodic, species, list, error)
      if (allocated(error)) return
      most = 0
      do t = 1, size(descriptors)
         if (any(species == t)) most = max(most, size(plan%features(t)%of))
      end do
      allocate (ghosts(list%n_ghosts, 3), values(maxval(descriptors%n_feature)), members%slot(size(species)), &
         members%first(size(descriptors) + 1), members%near(list%n_most), members%at(list%n_most), &
         members%gradient(3*list%n_most*most), members%total(lanes_of_group(size(species))), stat=status)
      call check_memory(status, "derivatives of descriptors", 24_i8*list%n_ghosts + 24_i8*list%n_most*most, error)
      if (.not. allocated(error)) call new_descriptor_work(descriptors, list%n_most, work, error)
      if (.not. allocated(error)) call new_descriptor_scratch(descriptors, list%n_most, scratch, error)
      if (allocated(error)) return
      call place_ghosts(list, list%position, ghosts)
      do i = 1, size(species)
         if (must_stop(stop, .true.)) return
         t = species(i)
         call descriptor_values(descriptors, list, i, list%position, ghosts, species, .true., work, scratch, &
            values(:descriptors(t)%n_feature), error)
         if (allocated(error)) return
         call fill_pairs(descriptors, plan, species, i, first + i - 1, work, map)
         call find_members(plan, species, i, first + i - 1, work%around, members, map)
         call fill_groups(descriptors, plan, t, first + i - 1, size(plan%features(t)%of), work, scratch, members, &
            members%gradient, members%total, map, error)
         if (allocated(error)) return
      end do
   end subroutine fill_structure

   !> Pairs of atom i of a structure, sorted by the other atom
   subroutine fill_pairs(descriptors, plan, species, i, place, work, map)
      type(descriptor_type), intent(in) :: descriptors(:)
      type(force_map_plan_type), intent(in) :: plan
      !> (n_atoms of the structure)
      integer, intent(in) :: species(:), i
      !> Atoms of the data set before atom i
      integer(i8), intent(in) :: place
      !> Neighbours of atom i and their cutoff functions
      type(descriptor_work_type), intent(in) :: work
      type(force_map_type), intent(inout) :: map
      integer :: next(size(species)), chosen(work%around%n), k, j, t, u, n, here
      integer(i8) :: first, last

      first = map%pair_first(place*map%n_species + 1)
      last = map%pair_first((place + 1)*map%n_species + 1)
      if (last == first) return
      t = species(i)
      next(i + 1:) = 0
      do k = 1, work%around%n
         if (is_pair(k)) next(work%around%atom(k)) = next(work%around%atom(k)) + plan%windows(work%around%species(k), t)
      end do
      ! Where the pairs with each atom start
      here = 0
      do j = i + 1, size(species)
         here = here + next(j)
         next(j) = here - next(j)
      end do
      do u = 1, map%n_species
         n = 0
         do k = 1, work%around%n
            if (work%around%species(k) /= u) cycle
            if (.not. is_pair(k)) cycle
            n = n + 1
            chosen(n) = k
         end do
         do k = 1, n, strip
            if (size(plan%pair(u, t)%table) == 0) then
               call fill_grid_pairs(min(strip, n - k + 1), chosen(k:), map%grid, size(plan%fit, 3), plan%fit, &
                  descriptors(t)%chebyshev%radial_cut, work, next, int(last - first), map%pair_atom(first + 1:last), &
                  map%pair_place(first + 1:last), map%pair_unit(:, first + 1:last), map%pair_value(:, first + 1:last))
            else
               call fill_function_pairs(min(strip, n - k + 1), chosen(k:), plan%pair(u, t)%table, work, next, &
                  int(last - first), map%pair_atom(first + 1:last), map%pair_place(first + 1:last), &
                  map%pair_unit(:, first + 1:last), map%pair_value(:, first + 1:last))
            end if
         end do
      end do

   contains

      !> Is neighbour k of atom i the other one of a pair that is kept here?
      pure logical function is_pair(k)
         integer, intent(in) :: k

         is_pair = work%around%atom(k) > i .and. work%around%r(k) < plan%reach(work%around%species(k), t)
      end function is_pair

   end subroutine fill_pairs

   !> A few pairs whose slopes go onto the grid
   subroutine fill_grid_pairs(n, chosen, grid, n_places, fit, cut, work, next, n_pairs, atom, place, unit, value)
      !> Pairs, at most `strip`, and which neighbours they are with; windows on the grid, and all pairs of the centre
      integer, intent(in) :: n, n_places, n_pairs
      integer, intent(in) :: chosen(n)
      type(radial_grid_type), intent(in) :: grid
      !> From `fit_slopes`
      real(wp), intent(in) :: fit(window, grid%n_orders, 0:n_places - 1)
      !> Cutoff of their functions (Å)
      real(wp), intent(in) :: cut
      type(descriptor_work_type), intent(in) :: work
      !> Pairs of the centre before the next one with each atom
      integer, intent(inout) :: next(:)
      !> Those of the centre, as in `force_map_type`
      integer, intent(inout) :: atom(n_pairs), place(n_pairs)
      real(sp), intent(inout) :: unit(4, n_pairs), value(window, n_pairs)
      ! Of fixed size: arrays of other sizes cost an allocation each
      real(wp) :: r(strip), f(strip), df(strip), slopes(strip*most_orders), weights(window), others(window)
      integer :: places(strip), k, l, m, at

      do k = 1, n
         r(k) = work%around%r(chosen(k))
         f(k) = work%chebyshev%f(chosen(k))
         df(k) = work%chebyshev%df(chosen(k))
      end do
      call radial_term_slopes(n, grid%n_orders, r, cut, f, df, slopes)
      call places_on_grid(grid, n, r, cut, places)
      do k = 1, n
         ! Two sums, or the processor waits for its additions; a grid has more than two orders
         !$omp simd
         do l = 1, window
            weights(l) = fit(l, 1, places(k))*slopes(k)
            others(l) = fit(l, 2, places(k))*slopes(n + k)
         end do
         do m = 3, grid%n_orders - 1, 2
            !$omp simd
            do l = 1, window
               weights(l) = weights(l) + fit(l, m, places(k))*slopes((m - 1)*n + k)
               others(l) = others(l) + fit(l, m + 1, places(k))*slopes(m*n + k)
            end do
         end do
         if (mod(grid%n_orders, 2) == 1) then
            !$omp simd
            do l = 1, window
               weights(l) = weights(l) + fit(l, grid%n_orders, places(k))*slopes((grid%n_orders - 1)*n + k)
            end do
         end if
         at = next_pair(work%around, chosen(k), next)
         atom(at) = work%around%atom(chosen(k))
         place(at) = places(k)
         unit(:, at) = direction(work%around, chosen(k))
         !$omp simd
         do l = 1, window
            value(l, at) = real(weights(l) + others(l), sp)
         end do
      end do
   end subroutine fill_grid_pairs

   !> A few pairs with slopes of symmetry functions
   subroutine fill_function_pairs(n, chosen, table, work, next, n_pairs, atom, place, unit, value)
      !> As for `fill_grid_pairs`
      integer, intent(in) :: n, n_pairs
      integer, intent(in) :: chosen(n)
      !> (5, functions) see `radial_of_species`
      real(wp), intent(in) :: table(:, :)
      type(descriptor_work_type), intent(in) :: work
      integer, intent(inout) :: next(:)
      integer, intent(inout) :: atom(n_pairs), place(n_pairs)
      real(sp), intent(inout) :: unit(4, n_pairs), value(window, n_pairs)
      real(wp) :: slopes(size(table, 2) + window)
      integer :: k, w, at

      slopes(size(table, 2) + 1:) = 0.0_wp
      do k = 1, n
         call radial_function_slopes(work%around%r(chosen(k)), table, slopes(:size(table, 2)))
         do w = 0, size(table, 2) - 1, window
            at = next_pair(work%around, chosen(k), next)
            atom(at) = work%around%atom(chosen(k))
            place(at) = w
            unit(:, at) = direction(work%around, chosen(k))
            value(:, at) = real(slopes(w + 1:w + window), sp)
         end do
      end do
   end subroutine fill_function_pairs

   !> Place of the next pair with the atom of neighbour k
   integer function next_pair(around, k, next)
      type(surroundings_type), intent(in) :: around
      integer, intent(in) :: k
      !> Pairs before it
      integer, intent(inout) :: next(:)

      next(around%atom(k)) = next(around%atom(k)) + 1
      next_pair = next(around%atom(k))
   end function next_pair

   !> Unit vector to neighbour k, and 0
   pure function direction(around, k)
      type(surroundings_type), intent(in) :: around
      integer, intent(in) :: k
      real(sp) :: direction(4)
      real(wp) :: inverse

      inverse = 1.0_wp/around%r(k)
      direction = real([inverse*around%x(k), inverse*around%y(k), inverse*around%z(k), 0.0_wp], sp)
   end function direction

   !> Atoms in the groups of atom i of a structure
   subroutine find_members(plan, species, i, place, around, members, map)
      type(force_map_plan_type), intent(in) :: plan
      !> (n_atoms of the structure)
      integer, intent(in) :: species(:), i
      !> Atoms of the data set before atom i
      integer(i8), intent(in) :: place
      !> Of atom i
      type(surroundings_type), intent(in) :: around
      type(members_type), intent(inout) :: members
      type(force_map_type), intent(inout) :: map
      integer :: n(map%n_species), u, k, j, t

      t = species(i)
      members%slot = 0
      n = 0
      do k = 1, around%n
         if (.not. in_group(k)) cycle
         members%slot(around%atom(k)) = 1
         n(around%species(k)) = n(around%species(k)) + 1
      end do
      members%first(1) = 0
      do u = 1, map%n_species
         members%first(u + 1) = members%first(u) + n(u)
      end do
      n = 0
      do j = 1, size(species)
         if (members%slot(j) == 0) cycle
         u = species(j)
         n(u) = n(u) + 1
         members%slot(j) = n(u)
         map%group_atom(map%group_atom_first(place*map%n_species + u) + n(u)) = j
      end do
      n = members%first(:map%n_species)
      do k = 1, around%n
         if (.not. in_group(k)) cycle
         u = around%species(k)
         n(u) = n(u) + 1
         members%near(n(u)) = k
         members%at(n(u)) = members%slot(around%atom(k))
      end do

   contains

      !> Is neighbour k in a group?
      pure logical function in_group(k)
         integer, intent(in) :: k

         in_group = around%atom(k) /= i .and. around%r(k) < plan%group_reach(around%species(k), t)
      end function in_group

   end subroutine find_members

   !> Groups of an atom
   subroutine fill_groups(descriptors, plan, t, place, n_columns, work, scratch, members, gradient, total, map, error)
      type(descriptor_type), intent(in) :: descriptors(:)
      type(force_map_plan_type), intent(in) :: plan
      !> Its species, atoms of the data set before it, and values of its descriptor in groups
      integer, intent(in) :: t, n_columns
      integer(i8), intent(in) :: place
      type(descriptor_work_type), intent(in) :: work
      type(descriptor_scratch_type), intent(inout) :: scratch
      !> From `find_members`
      type(members_type), intent(in) :: members
      !> Scratch
      real(wp), intent(inout) :: gradient(work%around%n, 3, n_columns), total(:)
      type(force_map_type), intent(inout) :: map
      type(error_type), allocatable, intent(inout) :: error
      integer :: u, k, n
      integer(i8) :: group

      call descriptor_gradients(descriptors, t, plan%features(t)%of, work, scratch, gradient, error)
      if (allocated(error)) return
      do u = 1, map%n_species
         group = place*map%n_species + u
         n = int(map%group_atom_first(group + 1) - map%group_atom_first(group))
         if (n == 0) cycle
         associate (first => members%first(u) + 1, last => members%first(u + 1))
         do k = 1, map%group_count(u, t)
            call add_column(last - first + 1, members%near(first:last), members%at(first:last), work%around%n, &
               gradient(:, :, plan%column(k, u, t)), n, k, total, &
               map%group_value(map%group_value_first(group) + int((k - 1)/2, i8)*lanes_of_group(n) + 1:), &
               map%group_scale(k, u, place + 1))
         end do
         end associate
      end do
   end subroutine fill_groups

   !> One function of a group of n atoms, images of an atom summed up
   pure subroutine add_column(n_near, near, at, n_all, gradient, n, place, total, column, scale)
      !> Neighbours in the group, which they are, and the place of the atom of each
      integer, intent(in) :: n_near
      integer, intent(in) :: near(n_near), at(n_near)
      !> All neighbours, and atoms of the group
      integer, intent(in) :: n_all, n
      real(wp), intent(in) :: gradient(n_all, 3)
      !> Which function of the group
      integer, intent(in) :: place
      !> Scratch
      real(wp), intent(inout) :: total(lanes_of_group(n))
      integer, intent(inout) :: column(lanes_of_group(n))
      real(sp), intent(out) :: scale
      integer :: k

      total = 0.0_wp
      do k = 1, n_near
         total(3*at(k) - 2) = total(3*at(k) - 2) + gradient(near(k), 1)
         total(3*at(k) - 1) = total(3*at(k) - 1) + gradient(near(k), 2)
         total(3*at(k)) = total(3*at(k)) + gradient(near(k), 3)
      end do
      call round_column(lanes_of_group(n), place, total, column, scale)
   end subroutine add_column

   !> Derivatives of all descriptor values of a structure with respect to a homogeneous strain, Σ_j r_ij ⊗ ∂G/∂r_ij
   !> made symmetric, components xx, yy, zz, yz, xz, xy
   subroutine strain_of_structure(descriptors, position, cell, periodic, species, first_value, stop, strain, error)
      type(descriptor_type), intent(in) :: descriptors(:)
      !> (3, n_atoms) Å
      real(wp), intent(in) :: position(:, :), cell(3, 3)
      logical, intent(in) :: periodic(3)
      !> (n_atoms)
      integer, intent(in), contiguous :: species(:)
      !> (n_atoms + 1) values of atom i are first_value(i) + 1 … first_value(i + 1)
      integer, intent(in) :: first_value(:)
      type(stop_type), intent(inout) :: stop
      !> (n_values, 6)
      real(wp), intent(out) :: strain(:, :)
      type(error_type), allocatable, intent(inout) :: error
      type(neighbour_list_type) :: list
      type(descriptor_work_type) :: work
      type(descriptor_scratch_type) :: scratch
      real(wp), allocatable :: ghosts(:, :), values(:), gradient(:, :, :)
      integer :: i, f, m, n, status

      call list_neighbours(descriptors, position, cell, periodic, species, list, error)
      if (allocated(error)) return
      allocate (ghosts(list%n_ghosts, 3), values(maxval(descriptors%n_feature)), stat=status)
      call check_memory(status, "periodic images", 24_i8*list%n_ghosts, error)
      if (.not. allocated(error)) call new_descriptor_work(descriptors, list%n_most, work, error)
      if (.not. allocated(error)) call new_descriptor_scratch(descriptors, list%n_most, scratch, error)
      if (allocated(error)) return
      call place_ghosts(list, list%position, ghosts)
      do i = 1, size(species)
         if (must_stop(stop, .true.)) return
         n = descriptors(species(i))%n_feature
         call descriptor_values(descriptors, list, i, list%position, ghosts, species, .true., work, scratch, values(:n), &
            error)
         if (allocated(error)) return
         m = work%around%n
         if (allocated(gradient)) deallocate (gradient)
         allocate (gradient(m, 3, n), stat=status)
         call check_memory(status, "derivatives of descriptors", 24_i8*m*n, error)
         if (allocated(error)) return
         call descriptor_gradients(descriptors, species(i), [(f, f=1, n)], work, scratch, gradient, error)
         if (allocated(error)) return
         do f = 1, n
            associate (a => work%around, g => gradient(:, :, f), row => first_value(i) + f)
            strain(row, 1) = dot_product(a%x(:m), g(:, 1))
            strain(row, 2) = dot_product(a%y(:m), g(:, 2))
            strain(row, 3) = dot_product(a%z(:m), g(:, 3))
            strain(row, 4) = 0.5_wp*(dot_product(a%y(:m), g(:, 3)) + dot_product(a%z(:m), g(:, 2)))
            strain(row, 5) = 0.5_wp*(dot_product(a%x(:m), g(:, 3)) + dot_product(a%z(:m), g(:, 1)))
            strain(row, 6) = 0.5_wp*(dot_product(a%x(:m), g(:, 2)) + dot_product(a%y(:m), g(:, 1)))
            end associate
         end do
      end do
   end subroutine strain_of_structure

end module tf_force_map_build
