!> Descriptors of all species: one place that knows which kinds there are.
module tf_descriptor
   use tf_kinds, only : wp, i8
   use tf_surroundings, only : surroundings_type, new_surroundings, gather
   use tf_chebyshev, only : chebyshev_type, new_chebyshev, chebyshev_values, chebyshev_gradient, &
      chebyshev_work_type, new_chebyshev_work, chebyshev_scratch_type, new_chebyshev_scratch
   use tf_chebyshev_functions, only : chebyshev_gradients
   use tf_behler, only : behler_type, new_behler, behler_values, behler_gradient, behler_gradients, &
      behler_work_type, new_behler_work, behler_scratch_type, new_behler_scratch
   use tf_neighbours, only : neighbour_list_type
   use tf_error, only : error_type, raise, check_memory, error_size, error_value, error_species
   implicit none
   private
   public :: descriptor_type, new_descriptors, check_species, descriptor_values, describe_surroundings, descriptor_gradient, &
      descriptor_gradients
   public :: descriptor_work_type, new_descriptor_work, descriptor_scratch_type, new_descriptor_scratch
   public :: basis_chebyshev, basis_behler

   integer, parameter :: basis_chebyshev = 1, basis_behler = 2

   !> Descriptor of one central species
   type :: descriptor_type
      integer :: basis = 0
      integer :: n_feature = 0
      !> Largest cutoff, Å
      real(wp) :: cutoff = 0.0_wp
      !> (n_species) may a neighbour be of this species?
      logical, allocatable :: knows(:)
      type(chebyshev_type) :: chebyshev
      type(behler_type) :: behler
   end type descriptor_type

   !> Neighbours of one atom, and what its values leave behind for its gradient; large enough for every species
   type :: descriptor_work_type
      type(surroundings_type) :: around
      type(chebyshev_work_type) :: chebyshev
      type(behler_work_type) :: behler
   end type descriptor_work_type

   !> Scratch for one thread
   type :: descriptor_scratch_type
      type(chebyshev_scratch_type) :: chebyshev
      type(behler_scratch_type) :: behler
   end type descriptor_scratch_type

contains

   !> Build the descriptors of all species from ænet's flat function tables
   subroutine new_descriptors(basis, n_function, function_kind, parameters, function_species, environment, &
         descriptors, error)
      !> (n_species) kind of descriptor
      integer, intent(in) :: basis(:)
      !> (n_species) length of each function table
      integer, intent(in) :: n_function(:)
      !> (total) kind of each function, species after species: 1 … 5 for G1 … G5, unused by Chebyshev
      integer, intent(in) :: function_kind(:)
      !> (4, total) their parameters
      real(wp), intent(in) :: parameters(:, :)
      !> (2, total) species of the neighbours that a symmetry function counts, 0 where unused
      integer, intent(in) :: function_species(:, :)
      !> (n_species, n_species) place of neighbour species (first index) in the ENV list, 0 if absent
      integer, intent(in) :: environment(:, :)
      type(descriptor_type), allocatable, intent(out) :: descriptors(:)
      type(error_type), allocatable, intent(inout) :: error
      integer :: t, start, last, n_species

      n_species = size(basis)
      if (size(n_function) /= n_species .or. any(shape(environment) /= n_species) .or. &
         any(n_function < 1) .or. size(parameters, 1) /= 4 .or. sum(n_function) /= size(parameters, 2) .or. &
         size(function_kind) /= sum(n_function) .or. any(shape(function_species) /= [2, sum(n_function)])) then
         call raise(error, error_size, "descriptor tables do not match the number of species")
         return
      end if
      allocate (descriptors(n_species), stat=t)
      call check_memory(t, "descriptors", storage_size(descriptors, i8)/8*n_species, error)
      if (allocated(error)) return
      start = 0
      do t = 1, n_species
         associate (d => descriptors(t))
         d%basis = basis(t)
         if (maxval(environment(:, t)) < 1) then
            call raise(error, error_value, "a descriptor has no environment species")
            return
         end if
         d%knows = environment(:, t) > 0 .or. maxval(environment(:, t)) == 1
         select case (basis(t))
         case (basis_chebyshev)
            call new_chebyshev(parameters(:, start + 1), environment(:, t), d%chebyshev, error)
            if (allocated(error)) return
            d%n_feature = d%chebyshev%n_feature
            d%cutoff = max(d%chebyshev%radial_cut, d%chebyshev%angular_cut)
            if (d%n_feature /= n_function(t)) call raise(error, error_size, &
               "the length of a Chebyshev descriptor does not follow from its orders")
         case (basis_behler)
            last = start + n_function(t)
            call new_behler(function_kind(start + 1:last), parameters(:, start + 1:last), &
               function_species(:, start + 1:last), environment(:, t), d%behler, error)
            d%n_feature = d%behler%n_feature
            d%cutoff = d%behler%cutoff
            ! Functions look at the species even if ENV has only one
            d%knows = environment(:, t) > 0
         case default
            call raise(error, error_value, "unknown kind of descriptor")
         end select
         end associate
         if (allocated(error)) return
         start = start + n_function(t)
      end do
   end subroutine new_descriptors

   !> Room for one atom with up to n_most neighbours
   subroutine new_descriptor_work(descriptors, n_most, work, error)
      type(descriptor_type), intent(in) :: descriptors(:)
      !> Largest number of neighbours
      integer, intent(in) :: n_most
      type(descriptor_work_type), intent(out) :: work
      type(error_type), allocatable, intent(inout) :: error
      integer :: t, order

      call new_surroundings(n_most, work%around, error)
      order = 0
      do t = 1, size(descriptors)
         order = max(order, descriptors(t)%chebyshev%angular_order)
      end do
      if (.not. allocated(error)) call new_chebyshev_work(n_most, order, work%chebyshev, error)
      if (allocated(error) .or. .not. any(descriptors%basis == basis_behler)) return
      associate (size_of => behler_sizes(descriptors))
         call new_behler_work(n_most, size_of(1), size_of(2), size_of(3), size_of(4), work%behler, error)
      end associate
   end subroutine new_descriptor_work

   !> Scratch for atoms with up to n_most neighbours
   subroutine new_descriptor_scratch(descriptors, n_most, scratch, error)
      type(descriptor_type), intent(in) :: descriptors(:)
      !> Largest number of neighbours
      integer, intent(in) :: n_most
      type(descriptor_scratch_type), intent(out) :: scratch
      type(error_type), allocatable, intent(inout) :: error

      if (allocated(error)) return
      call new_chebyshev_scratch(n_most, scratch%chebyshev, error)
      if (allocated(error) .or. .not. any(descriptors%basis == basis_behler)) return
      associate (size_of => behler_sizes(descriptors))
         call new_behler_scratch(n_most, size_of(1), size_of(4), size_of(5), scratch%behler, error)
      end associate
   end subroutine new_descriptor_scratch

   !> Largest numbers of shells, of functions in a radial group, of groups of either kind, and of η and (λ, ζ) in an angular
   !> one, over the species with symmetry functions
   pure function behler_sizes(descriptors) result(sizes)
      type(descriptor_type), intent(in) :: descriptors(:)
      integer :: sizes(5), t

      sizes = 0
      do t = 1, size(descriptors)
         if (descriptors(t)%basis /= basis_behler) cycle
         associate (b => descriptors(t)%behler)
         sizes = max(sizes, [size(b%shells), b%most_radial, max(size(b%radial), size(b%angular)), b%most_exponents, &
            b%most_powers])
         end associate
      end do
   end function behler_sizes

   !> Refuse a structure with a neighbour species that a descriptor cannot handle
   subroutine check_species(descriptors, species, error)
      type(descriptor_type), intent(in) :: descriptors(:)
      !> (n_atoms)
      integer, intent(in) :: species(:)
      type(error_type), allocatable, intent(inout) :: error
      logical :: present_(size(descriptors))
      integer :: t, u
      character(len=120) :: text

      if (any(species < 1) .or. any(species > size(descriptors))) then
         call raise(error, error_species, "a species index is out of range")
         return
      end if
      do t = 1, size(descriptors)
         present_(t) = any(species == t)
      end do
      do t = 1, size(descriptors)
         if (.not. present_(t)) cycle
         do u = 1, size(descriptors)
            if (.not. present_(u) .or. descriptors(t)%knows(u)) cycle
            write (text, "(a,i0,a,i0)") "the environment of species ", t, " does not include species ", u
            call raise(error, error_species, trim(text))
            return
         end do
      end do
   end subroutine check_species

   !> Descriptor of atom i
   subroutine descriptor_values(descriptors, list, i, position, ghost_position, species, with_slopes, work, scratch, &
         values, error)
      type(descriptor_type), intent(in) :: descriptors(:)
      type(neighbour_list_type), intent(in) :: list
      !> Atom
      integer, intent(in) :: i
      !> (3, n_atoms) and (n_ghosts, 3), Å
      real(wp), intent(in), contiguous :: position(:, :), ghost_position(:, :)
      integer, intent(in), contiguous :: species(:)
      !> Will the gradient be asked for?
      logical, intent(in) :: with_slopes
      type(descriptor_work_type), intent(inout) :: work
      type(descriptor_scratch_type), intent(inout) :: scratch
      real(wp), intent(out), contiguous :: values(:)
      type(error_type), allocatable, intent(inout) :: error

      call gather(list, i, position, ghost_position, species, work%around, error)
      if (allocated(error)) return
      call describe_surroundings(descriptors(species(i)), with_slopes, work, scratch, values)
   end subroutine descriptor_values

   !> Descriptor of an atom whose neighbours are in work%around
   subroutine describe_surroundings(descriptor, with_slopes, work, scratch, values)
      type(descriptor_type), intent(in) :: descriptor
      !> Will the gradient be asked for?
      logical, intent(in) :: with_slopes
      type(descriptor_work_type), intent(inout) :: work
      type(descriptor_scratch_type), intent(inout) :: scratch
      real(wp), intent(out), contiguous :: values(:)

      select case (descriptor%basis)
      case (basis_chebyshev)
         call chebyshev_values(descriptor%chebyshev, work%around, with_slopes, work%chebyshev, scratch%chebyshev, values)
      case (basis_behler)
         call behler_values(descriptor%behler, work%around, with_slopes, work%behler, scratch%behler, values)
      end select
   end subroutine describe_surroundings

   !> Derivative of Σ_f g_f G_f of an atom of species t with respect to the vectors to its neighbours, in
   !> work%around%gx, gy, gz; `descriptor_values` with slopes comes first
   subroutine descriptor_gradient(descriptors, t, g, work, scratch)
      type(descriptor_type), intent(in) :: descriptors(:)
      !> Species of the atom
      integer, intent(in) :: t
      !> Factor of each descriptor value
      real(wp), intent(in), contiguous :: g(:)
      type(descriptor_work_type), intent(inout) :: work
      type(descriptor_scratch_type), intent(inout) :: scratch

      work%around%gx(:work%around%n_padded) = 0.0_wp
      work%around%gy(:work%around%n_padded) = 0.0_wp
      work%around%gz(:work%around%n_padded) = 0.0_wp
      select case (descriptors(t)%basis)
      case (basis_chebyshev)
         call chebyshev_gradient(descriptors(t)%chebyshev, g, work%around, work%chebyshev, scratch%chebyshev)
      case (basis_behler)
         call behler_gradient(descriptors(t)%behler, g, work%around, work%behler, scratch%behler)
      end select
   end subroutine descriptor_gradient

   !> Derivatives of single descriptor values with respect to the vectors to the neighbours; `descriptor_values` with slopes
   !> comes first
   subroutine descriptor_gradients(descriptors, t, feature, work, scratch, gradient, error)
      type(descriptor_type), intent(in) :: descriptors(:)
      !> Species of the atom
      integer, intent(in) :: t
      !> Which values
      integer, intent(in) :: feature(:)
      type(descriptor_work_type), intent(in) :: work
      type(descriptor_scratch_type), intent(inout) :: scratch
      !> (neighbours, 3, values)
      real(wp), intent(out), contiguous :: gradient(:, :, :)
      type(error_type), allocatable, intent(inout) :: error
      real(wp) :: factors(descriptors(t)%n_feature, size(feature))
      integer :: k

      gradient = 0.0_wp
      if (size(feature) == 0) return
      select case (descriptors(t)%basis)
      case (basis_chebyshev)
         call chebyshev_gradients(descriptors(t)%chebyshev, feature, work%around, work%chebyshev, scratch%chebyshev, gradient, &
            error)
      case (basis_behler)
         factors = 0.0_wp
         do k = 1, size(feature)
            factors(feature(k), k) = 1.0_wp
         end do
         call behler_gradients(descriptors(t)%behler, size(feature), factors, work%behler, scratch%behler, gradient, error)
      end select
   end subroutine descriptor_gradients

end module tf_descriptor
