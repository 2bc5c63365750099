!> What a force map holds of each pair of species: which functions as pairs and which in groups, and how far they reach.
module tf_force_map_plan
   use tf_kinds, only : wp, i8, padded
   use tf_error, only : error_type, check_memory
   use tf_behler_tables, only : functions_of_species, radial_of_species
   use tf_descriptor, only : descriptor_type, basis_chebyshev, basis_behler
   use tf_force_map, only : force_map_type
   use tf_radial_grid, only : fit_slopes, most_orders, most_points, window
   implicit none
   private
   public :: force_map_plan_type, new_plan, new_plan_of_map, force_map_tables

   !> Radial symmetry functions of pairs, (5, n) from `radial_of_species`
   type :: functions_type
      real(wp), allocatable :: table(:, :)
   end type functions_type

   !> Values of a descriptor
   type :: features_type
      integer, allocatable :: of(:)
   end type features_type

   type :: force_map_plan_type
      !> (n_species, n_species) of a neighbour species (first) and a centre: how far pairs and groups reach (Å)
      real(wp), allocatable :: reach(:, :), group_reach(:, :)
      !> (n_species, n_species) windows of a pair, and the functions in them
      integer, allocatable :: windows(:, :)
      type(functions_type), allocatable :: pair(:, :)
      !> (n_species) values that are in groups; (functions, n_species, n_species) which of these a function of a group is
      type(features_type), allocatable :: features(:)
      integer, allocatable :: column(:, :, :)
      !> (window, n_orders, places) from `fit_slopes`
      real(wp), allocatable :: fit(:, :, :)
   end type force_map_plan_type

contains

   !> What the numbers of pairs and neighbours follow from
   subroutine new_plan(descriptors, merged, plan, error)
      type(descriptor_type), intent(in) :: descriptors(:)
      !> Everything in groups?
      logical, intent(in) :: merged
      type(force_map_plan_type), intent(out) :: plan
      type(error_type), allocatable, intent(inout) :: error
      integer :: n, t, u, status

      n = size(descriptors)
      allocate (plan%reach(n, n), plan%group_reach(n, n), plan%windows(n, n), plan%pair(n, n), stat=status)
      call check_memory(status, "the tables of a force map", 100_i8*n**2, error)
      if (allocated(error)) return
      do t = 1, n
         do u = 1, n
            plan%pair(u, t)%table = radial_in_pairs(descriptors, merged, t, u)
            plan%reach(u, t) = maxval([0.0_wp, plan%pair(u, t)%table(4, :)])
            plan%windows(u, t) = padded(size(plan%pair(u, t)%table, 2))/window
            plan%group_reach(u, t) = descriptors(t)%cutoff
            if (.not. as_pairs(descriptors, merged, t, u)) cycle
            plan%reach(u, t) = descriptors(t)%chebyshev%radial_cut
            plan%windows(u, t) = 1
            plan%group_reach(u, t) = descriptors(t)%chebyshev%angular_cut
         end do
      end do
   end subroutine new_plan

   !> And what the values of a map follow from
   subroutine new_plan_of_map(descriptors, merged, map, plan, error)
      type(descriptor_type), intent(in) :: descriptors(:)
      !> Everything in groups?
      logical, intent(in) :: merged
      !> Its tables are set
      type(force_map_type), intent(in) :: map
      type(force_map_plan_type), intent(out) :: plan
      type(error_type), allocatable, intent(inout) :: error
      integer :: t, u, k, n, status

      call new_plan(descriptors, merged, plan, error)
      if (.not. allocated(error)) call fit_slopes(map%grid, plan%fit, error)
      if (allocated(error)) return
      n = map%n_species
      allocate (plan%features(n), plan%column(map%n_group, n, n), stat=status)
      call check_memory(status, "the tables of a force map", 4_i8*map%n_group*n**2, error)
      if (allocated(error)) return
      do t = 1, n
         call list_features(descriptors(t)%n_feature, map%group_feature(1, :, :, t), plan%features(t), error)
         if (allocated(error)) return
         do u = 1, n
            do k = 1, map%group_count(u, t)
               plan%column(k, u, t) = findloc(plan%features(t)%of, map%group_feature(1, k, u, t), dim=1)
            end do
         end do
      end do
   end subroutine new_plan_of_map

   !> Values of a descriptor that are in groups, ascending
   subroutine list_features(n_feature, in_groups, features, error)
      !> All values
      integer, intent(in) :: n_feature
      !> (functions, neighbour species) 0: none
      integer, intent(in) :: in_groups(:, :)
      type(features_type), intent(out) :: features
      type(error_type), allocatable, intent(inout) :: error
      integer :: f, n, turn, status

      ! Counted first, then listed
      do turn = 1, 2
         n = 0
         do f = 1, n_feature
            if (.not. any(in_groups == f)) cycle
            n = n + 1
            if (turn == 2) features%of(n) = f
         end do
         if (turn == 2) return
         allocate (features%of(n), stat=status)
         call check_memory(status, "the tables of a force map", 4_i8*n, error)
         if (allocated(error)) return
      end do
   end subroutine list_features

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

end module tf_force_map_plan
