!> A potential, or the members of a committee, from files.
module tf_committee_files
   use tf_kinds, only : wp, i8
   use tf_constants, only : smallest_deviation
   use tf_error, only : error_type, raise, check_memory, error_file
   use tf_descriptor, only : new_descriptors
   use tf_network, only : new_networks
   use tf_potential, only : potential_type, new_potential
   use tf_potential_file, only : potential_file_type, read_potential_file, species_length
   implicit none
   private
   public :: read_committee

   !> Relative change of a component without variance in the training data that counts as one σ (scaling.py)
   real(wp), parameter :: unvarying = 1.0e-3_wp

contains

   !> Read the files of all members.  The descriptors of the members must be the same
   subroutine read_committee(paths, potential, species, error)
      !> (n_species, n_members) one file for each species, in any order
      character(len=*), intent(in) :: paths(:, :)
      type(potential_type), intent(out) :: potential
      !> (n_species) in the order of the first member's files.  The potential may have more, which only ENV lists name
      character(len=species_length), allocatable, intent(out) :: species(:)
      type(error_type), allocatable, intent(inout) :: error
      type(potential_file_type), allocatable :: files(:, :)
      character(len=species_length), allocatable :: all_species(:)
      integer :: n_given, k, m, t

      n_given = size(paths, 1)
      call read_files(paths, files, species, error)
      if (allocated(error)) return
      all_species = species
      do t = 1, n_given
         do k = 1, size(files(t, 1)%environment)
            if (.not. any(all_species == files(t, 1)%environment(k))) then
              all_species = [all_species, files(t, 1)%environment(k)]
            end if
         end do
      end do
      do m = 2, size(files, 2)
         do t = 1, n_given
            if (.not. same_functions(files(t, m), files(t, 1))) call raise(error, error_file, files(t, m)%path// &
               ": members of a committee with different descriptors, expected the same functions as in "//files(t, 1)%path)
         end do
      end do
      if (allocated(error)) return

      call make_descriptors(files(:, 1), all_species, potential, error)
      if (.not. allocated(error)) call make_networks(files, size(all_species), potential, error)
      if (.not. allocated(error)) call new_potential(potential, error)
   end subroutine read_committee

   !> Read the files and put those of each member into the order of the first
   subroutine read_files(paths, files, species, error)
      !> As for `read_committee`
      character(len=*), intent(in) :: paths(:, :)
      type(potential_file_type), allocatable, intent(out) :: files(:, :)
      character(len=species_length), allocatable, intent(out) :: species(:)
      type(error_type), allocatable, intent(inout) :: error
      type(potential_file_type) :: file
      integer :: k, m, t, n, status

      n = size(paths, 1)
      allocate (files(n, size(paths, 2)), species(n), stat=status)
      call check_memory(status, "potential files", size(paths, kind=i8)*storage_size(file)/8, error)
      if (allocated(error)) return
      do m = 1, size(paths, 2)
         do k = 1, n
            call read_potential_file(trim(paths(k, m)), file, error)
            if (allocated(error)) return
            if (m == 1) then
               species(k) = file%species
               t = findloc(species(:k), file%species, dim=1)
            else
               t = findloc(species, file%species, dim=1)
            end if
            if (t == 0) then
               call raise(error, error_file, file%path//": a potential for "//trim(file%species)// &
                  ", for which the first member has none")
               return
            end if
            if (allocated(files(t, m)%path)) then
               call raise(error, error_file, file%path//": a second potential for "//trim(file%species))
               return
            end if
            files(t, m) = file
         end do
      end do
   end subroutine read_files

   !> Do two files describe a species by the same functions?
   pure logical function same_functions(a, b)
      type(potential_file_type), intent(in) :: a, b

      same_functions = a%basis == b%basis .and. size(a%environment) == size(b%environment) .and. &
         size(a%function_kind) == size(b%function_kind)
      if (.not. same_functions) return
      same_functions = all(a%environment == b%environment) .and. all(a%function_kind == b%function_kind) .and. &
         all(a%function_place == b%function_place) .and. .not. any(abs(a%parameters - b%parameters) > 0.0_wp)
   end function same_functions

   !> The file of species t: the first one's stands in for a species that only ENV lists name
   pure integer function source_of(t, n_given)
      !> Species, and how many there are files for
      integer, intent(in) :: t, n_given

      source_of = merge(t, 1, t <= n_given)
   end function source_of

   !> Descriptors of all species
   subroutine make_descriptors(files, all_species, potential, error)
      !> (n_given)
      type(potential_file_type), intent(in) :: files(:)
      character(len=species_length), intent(in) :: all_species(:)
      type(potential_type), intent(inout) :: potential
      type(error_type), allocatable, intent(inout) :: error
      integer :: basis(size(all_species)), n_function(size(all_species))
      integer, allocatable :: environment(:, :), kind(:), function_species(:, :)
      real(wp), allocatable :: parameters(:, :)
      integer :: t, k, f, start, status

      do t = 1, size(all_species)
         n_function(t) = size(files(source_of(t, size(files)))%function_kind)
      end do
      allocate (kind(sum(n_function)), function_species(2, sum(n_function)), parameters(4, sum(n_function)), &
         environment(size(all_species), size(all_species)), stat=status)
      call check_memory(status, "functions of descriptors", 44_i8*sum(n_function) + 4_i8*size(all_species)**2, error)
      if (allocated(error)) return
      kind = 0
      function_species = 0
      parameters = 0.0_wp
      environment = 0
      start = 0
      do t = 1, size(all_species)
         associate (file => files(source_of(t, size(files))))
            basis(t) = file%basis
            do k = 1, size(file%environment)
               environment(findloc(all_species, file%environment(k), dim=1), t) = k
            end do
            kind(start + 1:start + n_function(t)) = file%function_kind
            parameters(:, start + 1:start + n_function(t)) = file%parameters
            do f = 1, n_function(t)
               do k = 1, 2
                  ! Places that a Chebyshev setup does not use hold anything
                  if (file%function_place(k, f) < 1 .or. file%function_place(k, f) > size(file%environment)) cycle
                  function_species(k, start + f) = findloc(all_species, file%environment(file%function_place(k, f)), dim=1)
               end do
            end do
         end associate
         start = start + n_function(t)
      end do
      call new_descriptors(basis, n_function, kind, parameters, function_species, environment, potential%descriptors, error)
   end subroutine make_descriptors

   !> Networks, standardisations, energy scales of all members, and the range of their training sets
   subroutine make_networks(files, n_species, potential, error)
      !> (n_given, n_members)
      type(potential_file_type), intent(in) :: files(:, :)
      integer, intent(in) :: n_species
      type(potential_type), intent(inout) :: potential
      type(error_type), allocatable, intent(inout) :: error
      integer, allocatable :: n_layers(:), n_nodes(:), codes(:)
      integer :: n_networks, n_most, n_weights, m, n, s, t, w, l, status

      n_networks = n_species*size(files, 2)
      n_most = 0
      l = 0
      w = 0
      do m = 1, size(files, 2)
         do t = 1, n_species
            associate (file => files(source_of(t, size(files, 1)), m))
               n_most = max(n_most, size(file%mean))
               l = l + size(file%n_nodes)
               w = w + size(file%weights)
            end associate
         end do
      end do
      allocate (n_layers(n_networks), n_nodes(l), codes(l), potential%weights(w), &
         potential%feature_shift(n_most, n_networks), potential%feature_factor(n_most, n_networks), &
         potential%feature_unit(n_most, n_species), potential%feature_low(n_most, n_species), &
         potential%feature_high(n_most, n_species), potential%energy_scale(n_networks), potential%energy_shift(n_networks), &
         potential%energy_atomic(n_networks), stat=status)
      call check_memory(status, "networks of a potential", 8_i8*(w + l) + 16_i8*n_most*n_networks + 24_i8*n_most*n_species &
         + 28_i8*n_networks, error)
      if (allocated(error)) return
      potential%feature_shift = 0.0_wp
      potential%feature_factor = 0.0_wp
      potential%feature_unit = 0.0_wp
      potential%feature_low = -huge(1.0_wp)
      potential%feature_high = huge(1.0_wp)
      potential%energy_scale = 0.0_wp
      potential%energy_shift = 0.0_wp
      potential%energy_atomic = 0.0_wp
      l = 0
      w = 0
      do m = 1, size(files, 2)
         do t = 1, n_species
            s = t + (m - 1)*n_species
            associate (file => files(source_of(t, size(files, 1)), m))
               n = size(file%mean)
               n_layers(s) = size(file%n_nodes)
               n_nodes(l + 1:l + n_layers(s)) = file%n_nodes
               codes(l + 1:l + n_layers(s)) = [0, file%activation]
               potential%weights(w + 1:w + size(file%weights)) = file%weights
               l = l + n_layers(s)
               w = w + size(file%weights)
               potential%energy_scale(s) = file%energy_scale
               potential%energy_shift(s) = file%energy_shift
               if (t <= size(files, 1)) potential%energy_atomic(s) = file%energy_atomic
               call standardise(file, potential%feature_shift(:n, s), potential%feature_factor(:n, s))
               if (file%n_evaluated == 0) cycle
               ! Within the range of every member
               potential%feature_low(:n, t) = max(potential%feature_low(:n, t), file%minimum)
               potential%feature_high(:n, t) = min(potential%feature_high(:n, t), file%maximum)
               potential%feature_unit(:n, t) = max(potential%feature_unit(:n, t), range_unit(file, &
                  potential%feature_factor(:n, s)))
            end associate
         end do
      end do
      call new_networks(n_layers, n_nodes, codes, potential%networks, n_weights, error)
   end subroutine make_networks

   !> G̃ = (G - shift)·factor; 0 where a component does not vary (scaling.py)
   pure subroutine standardise(file, shift, factor)
      type(potential_file_type), intent(in) :: file
      !> (n_feature)
      real(wp), intent(out) :: shift(:), factor(:)
      real(wp) :: deviation(size(shift))

      shift = file%mean
      deviation = sqrt(max(file%mean_square - file%mean**2, 0.0_wp))
      factor = 0.0_wp
      where (deviation > smallest_deviation .and. file%minimum < file%maximum) factor = 1.0_wp/deviation
   end subroutine standardise

   !> 1/σ, the measure of how far a value is outside the range of the training data (scaling.py)
   pure function range_unit(file, factor) result(unit)
      type(potential_file_type), intent(in) :: file
      !> (n_feature) from `standardise`
      real(wp), intent(in) :: factor(:)
      real(wp) :: unit(size(factor))

      unit = factor
      where (.not. factor > 0.0_wp) unit = 1.0_wp/(unvarying*max(abs(file%mean), 1.0_wp))
   end function range_unit

end module tf_committee_files
