!> Making the force map of a structure: which functions go where, how much room that takes, and the values.
module tf_force_map_build
   use tf_kinds, only : wp, sp, i8, padded
   use tf_error, only : error_type, check_memory
   use tf_neighbours, only : neighbour_list_type, build_neighbour_list, place_ghosts
   use tf_surroundings, only : surroundings_type, new_surroundings, gather
   use tf_chebyshev_functions, only : radial_term_slopes
   use tf_behler, only : radial_function_slopes
   use tf_behler_tables, only : functions_of_species, radial_of_species
   use tf_descriptor, only : descriptor_type, descriptor_work_type, new_descriptor_work, descriptor_scratch_type, &
      new_descriptor_scratch, descriptor_values, descriptor_gradients, check_species, basis_chebyshev, basis_behler
   use tf_force_map, only : force_map_type, lanes_of_group
   use tf_group_products, only : round_column
   use tf_radial_grid, only : place_on_grid, most_orders, most_points, window
   implicit none
   private
   public :: force_map_tables, count_structure, fill_structure, strain_of_structure

contains

   !> Which functions are kept as pairs and which as groups
   subroutine force_map_tables(descriptors, merged, radial_count, radial_half, pair_feature, weight, group_count, &
         group_feature)
      type(descriptor_type), intent(in) :: descriptors(:)
      !> Everything in groups: smaller for cells that are smaller than the cutoff
      logical, intent(in) :: merged
      !> As in force_map_type; pair_feature and group_feature have room for all functions
      integer, intent(out) :: radial_count(:), radial_half(:), pair_feature(:, :, :), group_count(:, :), &
         group_feature(:, :, :, :)
      real(wp), intent(out) :: weight(:, :)
      logical, allocatable :: depends(:)
      real(wp), allocatable :: table(:, :)
      integer :: t, u, k, n, n_r, n_a, half

      radial_count = 0
      radial_half = 0
      pair_feature = 0
      weight = 0.0_wp
      group_feature = 0
      do t = 1, size(descriptors)
         do u = 1, size(descriptors)
            n = 0
            select case (descriptors(t)%basis)
            case (basis_chebyshev)
               associate (c => descriptors(t)%chebyshev)
               n_r = c%radial_order + 1
               n_a = c%angular_order + 1
               half = merge(c%n_feature/2, 0, c%weighted)
               weight(u, t) = c%weight(u)
               if (c%radial_cut > 0.0_wp) then
                  if (as_pairs(descriptors, merged, t, t)) then
                     radial_count(t) = n_r
                     radial_half(t) = half
                  end if
                  if (.not. as_pairs(descriptors, merged, t, u)) then
                     do k = 1, n_r
                        group_feature(1, n + k, u, t) = k
                        if (half > 0) group_feature(2, n + k, u, t) = half + k
                     end do
                     n = n + n_r
                  end if
               end if
               if (c%angular_cut > 0.0_wp) then
                  do k = 1, n_a
                     group_feature(1, n + k, u, t) = n_r + k
                     if (half > 0) group_feature(1, n + n_a + k, u, t) = half + n_r + k
                  end do
                  n = n + merge(2, 1, half > 0)*n_a
               end if
               end associate
            case (basis_behler)
               depends = functions_of_species(descriptors(t)%behler, u)
               table = radial_in_pairs(descriptors, merged, t, u)
               do k = 1, size(table, 2)
                  pair_feature(k, u, t) = nint(table(5, k))
                  depends(pair_feature(k, u, t)) = .false.
               end do
               do k = 1, size(depends)
                  if (.not. depends(k)) cycle
                  n = n + 1
                  group_feature(1, n, u, t) = k
               end do
            end select
            group_count(u, t) = n
         end do
      end do
   end subroutine force_map_tables

   !> Do the radial functions of t that count u go into pairs?  Then those of u that count t are the same
   pure logical function as_pairs(descriptors, merged, t, u)
      type(descriptor_type), intent(in) :: descriptors(:)
      !> Everything in groups? Species of centre and neighbour
      logical, intent(in) :: merged
      integer, intent(in) :: t, u

      as_pairs = .false.
      if (merged .or. descriptors(t)%basis /= basis_chebyshev .or. descriptors(u)%basis /= basis_chebyshev) return
      associate (a => descriptors(t)%chebyshev, b => descriptors(u)%chebyshev)
      as_pairs = a%radial_order == b%radial_order .and. a%radial_order < most_orders .and. a%radial_cut > 0.0_wp .and. &
         abs(a%radial_cut - b%radial_cut) <= 0.0_wp
      end associate
   end function as_pairs

   !> Radial symmetry functions of t that count u, if those of u that count t are the same, see `radial_of_species`
   pure function radial_in_pairs(descriptors, merged, t, u) result(table)
      type(descriptor_type), intent(in) :: descriptors(:)
      !> Everything in groups? Species of centre and neighbour
      logical, intent(in) :: merged
      integer, intent(in) :: t, u
      real(wp), allocatable :: table(:, :), other(:, :)

      if (.not. merged .and. descriptors(t)%basis == basis_behler .and. descriptors(u)%basis == basis_behler) then
         table = radial_of_species(descriptors(t)%behler, u)
         other = radial_of_species(descriptors(u)%behler, t)
         if (size(table) == size(other) .and. size(table, 2) <= most_points) then
            if (all(abs(table(:4, :) - other(:4, :)) <= 0.0_wp)) return
         end if
      end if
      table = reshape([real(wp) ::], [5, 0])
   end function radial_in_pairs

   !> What pairs of the species of a structure are: how far they reach (Å), and their windows
   pure subroutine pair_extents(descriptors, merged, reach, windows)
      type(descriptor_type), intent(in) :: descriptors(:)
      !> Everything in groups?
      logical, intent(in) :: merged
      !> (n_species, n_species)
      real(wp), intent(out) :: reach(:, :)
      integer, intent(out) :: windows(:, :)
      real(wp), allocatable :: table(:, :)
      integer :: t, u

      do t = 1, size(descriptors)
         do u = 1, size(descriptors)
            reach(u, t) = 0.0_wp
            windows(u, t) = 0
            if (as_pairs(descriptors, merged, t, u)) then
               reach(u, t) = descriptors(t)%chebyshev%radial_cut
               windows(u, t) = 1
            else
               table = radial_in_pairs(descriptors, merged, t, u)
               if (size(table) > 0) reach(u, t) = maxval(table(4, :))
               windows(u, t) = padded(size(table, 2))/window
            end if
         end do
      end do
   end subroutine pair_extents

   !> Distance up to which neighbours of species u are in the group of a centre t
   pure real(wp) function group_reach(descriptors, merged, t, u)
      type(descriptor_type), intent(in) :: descriptors(:)
      !> As for `as_pairs`
      logical, intent(in) :: merged
      integer, intent(in) :: t, u

      group_reach = descriptors(t)%cutoff
      if (as_pairs(descriptors, merged, t, u)) group_reach = descriptors(t)%chebyshev%angular_cut
   end function group_reach

   !> Numbers of pairs and of neighbours in each group of the atoms of a structure
   subroutine count_structure(descriptors, merged, position, cell, periodic, species, n_pairs, n_neighbours, error)
      type(descriptor_type), intent(in) :: descriptors(:)
      !> Everything in groups?
      logical, intent(in) :: merged
      !> (3, n_atoms) Å, atoms in canonical order
      real(wp), intent(in) :: position(:, :)
      real(wp), intent(in) :: cell(3, 3)
      logical, intent(in) :: periodic(3)
      integer, intent(in), contiguous :: species(:)
      !> (n_species, n_atoms) both
      integer, intent(out) :: n_pairs(:, :), n_neighbours(:, :)
      type(error_type), allocatable, intent(inout) :: error
      type(neighbour_list_type) :: list
      type(surroundings_type) :: around
      integer, allocatable :: counted(:)
      real(wp), allocatable :: ghosts(:, :)
      real(wp) :: reach(size(descriptors), size(descriptors))
      integer :: windows(size(descriptors), size(descriptors))
      integer :: i, j, k, t, u, status

      n_pairs = 0
      n_neighbours = 0
      call list_neighbours(descriptors, position, cell, periodic, species, list, error)
      if (allocated(error)) return
      allocate (counted(size(species)), ghosts(list%n_ghosts, 3), stat=status)
      call check_memory(status, "periodic images", 24_i8*list%n_ghosts + 4_i8*size(species), error)
      if (.not. allocated(error)) call new_surroundings(list%n_most, around, error)
      if (allocated(error)) return
      counted = 0
      call pair_extents(descriptors, merged, reach, windows)
      call place_ghosts(list, list%position, ghosts)
      do i = 1, size(species)
         t = species(i)
         ! The distances are those `fill_structure` will see, to the last bit
         call gather(list, i, list%position, ghosts, species, around, error)
         if (allocated(error)) return
         do k = 1, around%n
            j = around%atom(k)
            if (j == i) cycle
            u = species(j)
            if (j > i .and. around%r(k) < reach(u, t)) n_pairs(u, i) = n_pairs(u, i) + windows(u, t)
            if (counted(j) == i .or. .not. around%r(k) < group_reach(descriptors, merged, t, u)) cycle
            counted(j) = i
            n_neighbours(u, i) = n_neighbours(u, i) + 1
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
   subroutine fill_structure(descriptors, merged, position, cell, periodic, species, first, fit, map, error)
      type(descriptor_type), intent(in) :: descriptors(:)
      !> Everything in groups?
      logical, intent(in) :: merged
      !> As for `count_structure`
      real(wp), intent(in) :: position(:, :), cell(3, 3)
      logical, intent(in) :: periodic(3)
      integer, intent(in), contiguous :: species(:)
      !> Atoms of the data set before this structure
      integer(i8), intent(in) :: first
      !> From `fit_slopes`
      real(wp), intent(in) :: fit(:, :, 0:)
      !> Tables and offsets are set
      type(force_map_type), intent(inout) :: map
      type(error_type), allocatable, intent(inout) :: error
      type(neighbour_list_type) :: list
      type(descriptor_work_type) :: work
      type(descriptor_scratch_type) :: scratch
      real(wp), allocatable :: ghosts(:, :), values(:)
      integer :: i, status

      call list_neighbours(descriptors, position, cell, periodic, species, list, error)
      if (allocated(error)) return
      allocate (ghosts(list%n_ghosts, 3), values(maxval(descriptors%n_feature)), stat=status)
      call check_memory(status, "periodic images", 24_i8*list%n_ghosts, error)
      if (.not. allocated(error)) call new_descriptor_work(descriptors, list%n_most, work, error)
      if (.not. allocated(error)) call new_descriptor_scratch(descriptors, list%n_most, scratch, error)
      if (allocated(error)) return
      call place_ghosts(list, list%position, ghosts)
      do i = 1, size(species)
         call descriptor_values(descriptors, list, i, list%position, ghosts, species, .true., work, scratch, &
            values(:descriptors(species(i))%n_feature), error)
         if (allocated(error)) return
         call fill_pairs(descriptors, merged, species, i, first + i - 1, fit, work, map)
         call fill_groups(descriptors, merged, species, i, first + i - 1, work, scratch, map, error)
         if (allocated(error)) return
      end do
   end subroutine fill_structure

   !> Pairs of atom i of a structure, sorted by the other atom
   subroutine fill_pairs(descriptors, merged, species, i, place, fit, work, map)
      type(descriptor_type), intent(in) :: descriptors(:)
      !> Everything in groups?
      logical, intent(in) :: merged
      !> (n_atoms of the structure)
      integer, intent(in) :: species(:), i
      !> Atoms of the data set before atom i
      integer(i8), intent(in) :: place
      real(wp), intent(in) :: fit(:, :, 0:)
      !> Neighbours of atom i and their cutoff functions
      type(descriptor_work_type), intent(in) :: work
      type(force_map_type), intent(inout) :: map
      real(wp) :: slopes(map%grid%n_orders), singles(map%n_points), reach(map%n_species, map%n_species)
      integer :: windows(map%n_species, map%n_species), next(size(species)), k, j, t, u, w, n, here
      real(wp), allocatable :: table(:, :)
      integer(i8) :: at, first

      first = map%pair_first(place*map%n_species + 1)
      if (map%pair_first((place + 1)*map%n_species + 1) == first) return
      call pair_extents(descriptors, merged, reach, windows)
      t = species(i)

      associate (around => work%around, cut => descriptors(t)%chebyshev%radial_cut)
         next = 0
         do k = 1, around%n
            if (is_pair(k)) next(around%atom(k)) = next(around%atom(k)) + windows(around%species(k), t)
         end do

         ! Where the pairs with each atom start
         here = 0
         do j = 1, size(species)
            here = here + next(j)
            next(j) = here - next(j)
         end do
         do u = 1, map%n_species
            if (.not. any(species(i + 1:) == u)) cycle
            table = radial_in_pairs(descriptors, merged, t, u)
            do k = 1, around%n
               if (around%species(k) /= u) cycle
               if (.not. is_pair(k)) cycle
               j = around%atom(k)
               at = first + next(j)
               next(j) = next(j) + windows(u, t)
               map%pair_atom(at + 1:at + windows(u, t)) = j
               do w = 1, windows(u, t)
                  map%pair_unit(:, at + w) = real([around%x(k), around%y(k), around%z(k), 0.0_wp]/around%r(k), sp)
               end do
               if (size(table) == 0) then
                  call radial_term_slopes(around%r(k), cut, work%chebyshev%f(k), work%chebyshev%df(k), slopes)
                  map%pair_place(at + 1) = place_on_grid(map%grid, around%r(k), cut)
                  call weigh(fit(:, :, map%pair_place(at + 1)), singles)
                  map%pair_value(:, at + 1) = real(singles(:window), sp)
               else
                  n = size(table, 2)
                  call radial_function_slopes(around%r(k), table, singles(:n))
                  singles(n + 1:) = 0.0_wp
                  do w = 1, windows(u, t)
                     map%pair_place(at + w) = (w - 1)*window
                     map%pair_value(:, at + w) = real(singles((w - 1)*window + 1:w*window), sp)
                  end do
               end if
            end do
         end do
      end associate

   contains

      !> Weights of the window that stand for the slopes
      pure subroutine weigh(fit, weights)
         real(wp), intent(in) :: fit(window, map%grid%n_orders)
         real(wp), intent(out) :: weights(window)
         integer :: n, l

         weights = 0.0_wp
         do n = 1, map%grid%n_orders
            !$omp simd
            do l = 1, window
               weights(l) = weights(l) + fit(l, n)*slopes(n)
            end do
         end do
      end subroutine weigh

      !> Is neighbour k of atom i the other one of a pair that is kept here?
      pure logical function is_pair(k)
         integer, intent(in) :: k

         is_pair = work%around%atom(k) > i .and. work%around%r(k) < reach(work%around%species(k), t)
      end function is_pair

   end subroutine fill_pairs

   !> Groups of atom i of a structure
   subroutine fill_groups(descriptors, merged, species, i, place, work, scratch, map, error)
      type(descriptor_type), intent(in) :: descriptors(:)
      !> Everything in groups?
      logical, intent(in) :: merged
      !> (n_atoms of the structure)
      integer, intent(in) :: species(:), i
      !> Atoms of the data set before atom i
      integer(i8), intent(in) :: place
      type(descriptor_work_type), intent(in) :: work
      type(descriptor_scratch_type), intent(inout) :: scratch
      type(force_map_type), intent(inout) :: map
      type(error_type), allocatable, intent(inout) :: error
      real(wp), allocatable :: gradient(:, :, :)
      logical, allocatable :: here(:)
      integer, allocatable :: in_group(:), feature(:), near(:)
      integer :: t, u, f, k, j, n, status
      integer(i8) :: group

      t = species(i)
      allocate (in_group(size(species)), here(size(species)), stat=status)
      call check_memory(status, "the group of an atom", 8_i8*size(species), error)
      if (allocated(error)) return
      in_group = 0
      here = .false.
      do k = 1, work%around%n
         j = work%around%atom(k)
         if (j /= i) here(j) = here(j) .or. work%around%r(k) < group_reach(descriptors, merged, t, species(j))
      end do
      do u = 1, map%n_species
         group = place*map%n_species + u
         n = 0
         do j = 1, size(species)
            if (species(j) /= u .or. .not. here(j)) cycle
            n = n + 1
            in_group(j) = n
            map%group_atom(map%group_atom_first(group) + n) = j
         end do
         map%group_value(map%group_value_first(group) + 1:map%group_value_first(group + 1)) = 0
      end do

      feature = pack([(f, f=1, descriptors(t)%n_feature)], [(any(map%group_feature(1, :, :, t) == f), &
         f=1, descriptors(t)%n_feature)])
      allocate (gradient(work%around%n, 3, size(feature)), stat=status)
      call check_memory(status, "derivatives of descriptors", 24_i8*work%around%n*size(feature), error)
      if (.not. allocated(error)) call descriptor_gradients(descriptors, t, feature, work, scratch, gradient, error)
      if (allocated(error)) return
      do u = 1, map%n_species
         group = place*map%n_species + u
         n = int(map%group_atom_first(group + 1) - map%group_atom_first(group))
         if (n == 0) cycle
         ! Neighbours of the species, images apart, that are in the group
         near = pack([(k, k=1, work%around%n)], work%around%species(:work%around%n) == u &
            .and. in_group(work%around%atom(:work%around%n)) > 0)
         do k = 1, map%group_count(u, t)
            f = findloc(feature, map%group_feature(1, k, u, t), dim=1)
            call add_column(near, in_group(work%around%atom(near)), gradient(:, :, f), n, k, &
               map%group_value(map%group_value_first(group) + int((k - 1)/2, i8)*lanes_of_group(n) + 1:), &
               map%group_scale(k, u, place + 1))
         end do
      end do
   end subroutine fill_groups

   !> One function of a group of n atoms, images of an atom summed up
   subroutine add_column(near, slot, gradient, n, place, column, scale)
      !> Neighbours, and place in the group of the atom of each
      integer, intent(in) :: near(:), slot(:)
      !> (neighbours, 3)
      real(wp), intent(in) :: gradient(:, :)
      integer, intent(in) :: n
      !> Which function of the group
      integer, intent(in) :: place
      integer, intent(inout) :: column(:)
      real(sp), intent(out) :: scale
      real(wp) :: total(3, n)
      integer :: k

      total = 0.0_wp
      do k = 1, size(near)
         total(:, slot(k)) = total(:, slot(k)) + gradient(near(k), :)
      end do
      call round_column(3*n, place, total, column, scale)
   end subroutine add_column

   !> Derivatives of all descriptor values of a structure with respect to a homogeneous strain, Σ_j r_ij ⊗ ∂G/∂r_ij
   !> made symmetric, components xx, yy, zz, yz, xz, xy
   subroutine strain_of_structure(descriptors, position, cell, periodic, species, first_value, strain, error)
      type(descriptor_type), intent(in) :: descriptors(:)
      !> (3, n_atoms) Å
      real(wp), intent(in) :: position(:, :), cell(3, 3)
      logical, intent(in) :: periodic(3)
      !> (n_atoms)
      integer, intent(in), contiguous :: species(:)
      !> (n_atoms + 1) values of atom i are first_value(i) + 1 … first_value(i + 1)
      integer, intent(in) :: first_value(:)
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
