!> What C sees (taylorfit.h): potentials from files, evaluated on the neighbour lists of a host program.
module tf_c_api
   use, intrinsic :: iso_c_binding, only : c_int, c_int32_t, c_double, c_char, c_ptr, c_null_char, c_null_ptr, c_loc, &
      c_f_pointer, c_associated, c_size_t
   use tf_kinds, only : wp, i8
   use tf_error, only : error_type, raise, check_memory, error_size, error_value, error_memory, error_stopped
   use tf_batch, only : worthwhile_threads
   use tf_centres, only : host_centres_type, new_host_centres
   use tf_committee_files, only : read_committee
   use tf_descriptor, only : check_species
   use tf_potential, only : potential_type, evaluation_type, evaluate_potential, n_virial
   use tf_potential_file, only : species_length
   use tf_stop, only : stop_type, must_stop
   use tf_workspace, only : workspace_type, workspace_pool_type
   implicit none
   private
   public :: potential_new, potential_load, potential_free, potential_members, potential_n_species
   public :: potential_species, potential_cutoff, evaluate

   integer, parameter :: message_length = 512

   !> struct tf_error
   type, bind(c) :: c_error_type
      integer(c_int) :: code
      character(kind=c_char) :: message(message_length)
   end type c_error_type

   !> struct tf_atoms
   type, bind(c) :: c_atoms_type
      integer(c_int) :: n_atoms, n_centres, n_types, mask
      type(c_ptr) :: position, type_of, species_of_type, centre, n_neighbours, neighbours
   end type c_atoms_type

   !> struct tf_results
   type, bind(c) :: c_results_type
      type(c_ptr) :: energy, atom_energy, force, virial, atom_virial, centroid_virial
      type(c_ptr) :: member_energy, member_atom_energy, member_force, excess, component
   end type c_results_type

   !> struct tf_potential
   type :: handle_type
      type(potential_type) :: potential
      !> Names that end with 0
      character(len=species_length + 1), allocatable :: names(:)
      type(workspace_pool_type) :: pool
   end type handle_type

   !> What a call computes before it is added to the caller's arrays
   type :: scratch_type
      real(wp), allocatable :: energy(:, :), force(:, :, :), strain(:, :, :), virial(:, :)
   end type scratch_type

   interface
      pure function strlen(text) bind(c) result(length)
         import :: c_ptr, c_size_t
         implicit none
         type(c_ptr), intent(in), value :: text
         integer(c_size_t) :: length
      end function strlen
   end interface

contains

   !> See taylorfit.h
   function potential_new() bind(c, name="tf_engine_potential_new") result(address)
      type(c_ptr) :: address
      type(handle_type), pointer :: handle
      integer :: status

      address = c_null_ptr
      allocate (handle, stat=status)
      if (status == 0) address = c_loc(handle)
   end function potential_new

   !> See taylorfit.h
   subroutine potential_free(address) bind(c, name="tf_engine_potential_free")
      type(c_ptr), intent(in), value :: address
      type(handle_type), pointer :: handle

      if (.not. c_associated(address)) return
      call c_f_pointer(address, handle)
      deallocate (handle)
   end subroutine potential_free

   !> See taylorfit.h
   function potential_load(address, n_members, n_files, files, c_error) bind(c, name="tf_engine_potential_load") result(code)
      type(c_ptr), intent(in), value :: address
      integer(c_int), intent(in), value :: n_members, n_files
      !> (n_files·n_members) strings that end with 0
      type(c_ptr), intent(in) :: files(*)
      type(c_error_type), intent(inout) :: c_error
      integer(c_int) :: code
      type(handle_type), pointer :: handle
      character(len=species_length), allocatable :: species(:)
      character(len=:), allocatable :: paths(:, :)
      type(error_type), allocatable :: error
      integer :: k, m, status

      call c_f_pointer(address, handle)
      if (n_members < 1 .or. n_files < 1) then
         call raise(error, error_size, "a potential needs at least one file")
      else
         call read_strings(files(:n_files*n_members), n_files, n_members, paths, error)
         handle%potential = potential_type()
         if (allocated(handle%names)) deallocate (handle%names)
         if (.not. allocated(error)) call read_committee(paths, handle%potential, species, error)
      end if
      if (.not. allocated(error)) then
         allocate (handle%names(size(species)), stat=status)
         call check_memory(status, "names of species", size(species, kind=i8)*(species_length + 1), error)
      end if
      if (.not. allocated(error)) then
         do k = 1, size(species)
            m = len_trim(species(k))
            handle%names(k) = species(k)(:m)//repeat(c_null_char, species_length + 1 - m)
         end do
      end if
      code = told(error, c_error)
   end function potential_load

   !> C strings as Fortran strings of one length
   subroutine read_strings(pointers, n, m, texts, error)
      !> Extents of the array of strings
      integer, intent(in) :: n, m
      type(c_ptr), intent(in) :: pointers(n, m)
      character(len=:), allocatable, intent(out) :: texts(:, :)
      type(error_type), allocatable, intent(inout) :: error
      character(kind=c_char), pointer :: characters(:)
      integer :: i, j, longest, status

      longest = max(1, maxval([((int(strlen(pointers(i, j))), i=1, n), j=1, m)]))
      allocate (character(len=longest) :: texts(n, m), stat=status)
      call check_memory(status, "names of files", int(longest, i8)*n*m, error)
      if (allocated(error)) return
      do j = 1, m
         do i = 1, n
            call c_f_pointer(pointers(i, j), characters, [strlen(pointers(i, j))])
            texts(i, j) = transfer(characters, repeat(" ", size(characters)))
         end do
      end do
   end subroutine read_strings

   !> See taylorfit.h
   integer(c_int) function potential_members(address) bind(c, name="tf_engine_potential_members") result(n)
      type(c_ptr), intent(in), value :: address
      type(handle_type), pointer :: handle

      call c_f_pointer(address, handle)
      n = merge(handle%potential%n_members, 0, allocated(handle%names))
   end function potential_members

   !> See taylorfit.h
   integer(c_int) function potential_n_species(address) bind(c, name="tf_engine_potential_n_species") result(n)
      type(c_ptr), intent(in), value :: address
      type(handle_type), pointer :: handle

      call c_f_pointer(address, handle)
      n = 0
      if (allocated(handle%names)) n = size(handle%names)
   end function potential_n_species

   !> See taylorfit.h
   function potential_species(address, k) bind(c, name="tf_engine_potential_species") result(name)
      type(c_ptr), intent(in), value :: address
      integer(c_int), intent(in), value :: k
      type(c_ptr) :: name
      type(handle_type), pointer :: handle
      character(kind=c_char), target, save :: nothing = c_null_char

      call c_f_pointer(address, handle)
      name = c_loc(nothing)
      if (k < 0 .or. k >= potential_n_species(address)) return
      name = c_loc(handle%names(k + 1))
   end function potential_species

   !> See taylorfit.h
   real(c_double) function potential_cutoff(address) bind(c, name="tf_engine_potential_cutoff") result(cutoff)
      type(c_ptr), intent(in), value :: address
      type(handle_type), pointer :: handle

      call c_f_pointer(address, handle)
      cutoff = handle%potential%cutoff
   end function potential_cutoff

   !> See taylorfit.h
   function evaluate(address, atoms, results, n_threads, token, c_error) bind(c, name="tf_engine_evaluate") result(code)
      type(c_ptr), intent(in), value :: address
      type(c_atoms_type), intent(in) :: atoms
      type(c_results_type), intent(in) :: results
      integer(c_int), intent(in), value :: n_threads
      type(c_ptr), intent(in), value :: token
      type(c_error_type), intent(inout) :: c_error
      integer(c_int) :: code
      type(handle_type), pointer :: handle
      type(host_centres_type) :: centres
      type(workspace_type), allocatable :: spaces(:)
      type(scratch_type), target :: scratch
      type(evaluation_type) :: wanted
      type(stop_type) :: stop
      type(error_type), allocatable :: error

      call c_f_pointer(address, handle)
      if (.not. allocated(handle%names)) call raise(error, error_value, "no potential has been loaded")
      if (n_threads < 1) call raise(error, error_value, "the number of threads must be positive")
      if (any([atoms%n_atoms, atoms%n_centres, atoms%n_types] < 0)) call raise(error, error_size, "a number of atoms is negative")
      if (c_associated(token)) call c_f_pointer(token, stop%token)
      if (must_stop(stop, .true.)) call raise(error, error_stopped, "stopped")
      if (.not. allocated(error)) call view_atoms(handle%potential, size(handle%names), atoms, centres, error)
      if (.not. allocated(error)) then
         call prepare(atoms%n_atoms, handle%potential%n_members, results, scratch, wanted, error)
         if (.not. allocated(error)) then
            call handle%pool%take(worthwhile_threads(n_threads, int(size(centres%atom), i8)), spaces, error)
         end if
         if (.not. allocated(error)) call evaluate_potential(handle%potential, centres, spaces, wanted, stop, error, &
            one_leaf=n_threads == 1)
         call handle%pool%keep(spaces)
      end if
      if (stop%stopped) call raise(error, error_stopped, "stopped")
      if (.not. allocated(error)) then
         call add_results(atoms%n_atoms, handle%potential%n_members, centres%atom, results, scratch)
         if (associated(wanted%component)) wanted%component(centres%atom) = wanted%component(centres%atom) - 1
      end if
      code = told(error, c_error)
   end function evaluate

   !> The atoms of the host program as centres and neighbours
   subroutine view_atoms(potential, n_species, atoms, centres, error)
      type(potential_type), intent(in) :: potential
      !> Species there are potentials for
      integer, intent(in) :: n_species
      type(c_atoms_type), intent(in) :: atoms
      type(host_centres_type), intent(out) :: centres
      type(error_type), allocatable, intent(inout) :: error
      real(c_double), pointer, contiguous :: position(:, :)
      integer(c_int), pointer, contiguous :: type_of(:), species_of_type(:), centre(:), n_neighbours(:)
      type(c_ptr), pointer, contiguous :: neighbours(:)
      integer :: species_of(0:atoms%n_types)
      logical :: seen(0:atoms%n_types)
      integer :: i

      call c_f_pointer(atoms%position, position, [3, atoms%n_atoms])
      call c_f_pointer(atoms%type_of, type_of, [atoms%n_atoms])
      call c_f_pointer(atoms%species_of_type, species_of_type, [atoms%n_types + 1])
      call c_f_pointer(atoms%centre, centre, [atoms%n_centres])
      call c_f_pointer(atoms%n_neighbours, n_neighbours, [atoms%n_atoms])
      call c_f_pointer(atoms%neighbours, neighbours, [atoms%n_atoms])
      species_of(0) = 0
      species_of(1:) = species_of_type(2:) + 1
      if (any(species_of < 0) .or. any(species_of > n_species)) then
         call raise(error, error_value, "the species of a type is out of range")
         return
      end if
      call new_host_centres(centre, position, type_of, species_of, n_neighbours, neighbours, atoms%mask, potential%cutoff, &
         centres, error)
      if (allocated(error)) return

      seen = .false.
      do i = 1, atoms%n_atoms
         seen(type_of(i)) = species_of(type_of(i)) > 0
      end do
      call check_species(potential%descriptors, pack(species_of, seen), error)
   end subroutine view_atoms

   !> Room for what is computed, and views of what is set directly
   subroutine prepare(n_atoms, n_members, results, scratch, wanted, error)
      integer, intent(in) :: n_atoms, n_members
      type(c_results_type), intent(in) :: results
      type(scratch_type), intent(inout), target :: scratch
      type(evaluation_type), intent(out) :: wanted
      type(error_type), allocatable, intent(inout) :: error
      integer :: status

      allocate (scratch%energy(n_atoms, n_members), stat=status)
      call check_memory(status, "the energies of atoms", 8_i8*n_atoms*n_members, error)
      if (allocated(error)) return
      wanted%atomic_energy => scratch%energy
      if (c_associated(results%force) .or. c_associated(results%virial) .or. c_associated(results%atom_virial) .or. &
         c_associated(results%centroid_virial) .or. c_associated(results%member_force)) then
         allocate (scratch%force(3, n_atoms, n_members), scratch%strain(3, 3, n_members), stat=status)
         call check_memory(status, "the forces of members", 24_i8*(n_atoms + 3)*n_members, error)
         if (allocated(error)) return
         wanted%force => scratch%force
         wanted%strain => scratch%strain
      end if
      if (c_associated(results%atom_virial) .or. c_associated(results%centroid_virial)) then
         allocate (scratch%virial(n_virial, n_atoms), stat=status)
         call check_memory(status, "the virials of atoms", 8_i8*n_virial*n_atoms, error)
         if (allocated(error)) return
         wanted%virial => scratch%virial
      end if
      if (.not. c_associated(results%excess) .or. .not. c_associated(results%component)) return
      call c_f_pointer(results%excess, wanted%excess, [n_atoms])
      call c_f_pointer(results%component, wanted%component, [n_atoms])
   end subroutine prepare

   !> Add what has been computed to the caller's arrays
   subroutine add_results(n_atoms, n_members, centre, results, scratch)
      integer, intent(in) :: n_atoms, n_members
      !> Atoms that have an energy
      integer, intent(in) :: centre(:)
      type(c_results_type), intent(in) :: results
      type(scratch_type), intent(in) :: scratch
      real(c_double), pointer, contiguous :: one(:), two(:, :), three(:, :, :)
      real(wp) :: v(3, 3)

      if (c_associated(results%energy)) then
         call c_f_pointer(results%energy, one, [1])
         one(1) = one(1) + sum(scratch%energy)/n_members
      end if
      if (c_associated(results%atom_energy)) then
         call c_f_pointer(results%atom_energy, one, [n_atoms])
         one(centre) = one(centre) + sum(scratch%energy(centre, :), dim=2)/n_members
      end if
      if (c_associated(results%member_energy)) then
         call c_f_pointer(results%member_energy, one, [n_members])
         one = one + sum(scratch%energy, dim=1)
      end if
      if (c_associated(results%member_atom_energy)) then
         call c_f_pointer(results%member_atom_energy, two, [n_atoms, n_members])
         two = two + scratch%energy
      end if
      if (c_associated(results%force)) then
         call c_f_pointer(results%force, two, [3, n_atoms])
         call add_mean(3*n_atoms, n_members, scratch%force, two)
      end if
      if (c_associated(results%member_force)) then
         call c_f_pointer(results%member_force, three, [3, n_atoms, n_members])
         three = three + scratch%force
      end if
      if (c_associated(results%virial)) then
         call c_f_pointer(results%virial, one, [6])
         v = -sum(scratch%strain, dim=3)/n_members
         v = 0.5_wp*(v + transpose(v))
         one = one + [v(1, 1), v(2, 2), v(3, 3), v(1, 2), v(1, 3), v(2, 3)]
      end if
      if (c_associated(results%atom_virial)) then
         call c_f_pointer(results%atom_virial, two, [6, n_atoms])
         two(1:3, :) = two(1:3, :) + scratch%virial(1:3, :)
         two(4:6, :) = two(4:6, :) + 0.5_wp*(scratch%virial(4:6, :) + scratch%virial([7, 8, 9], :))
      end if
      if (c_associated(results%centroid_virial)) then
         call c_f_pointer(results%centroid_virial, two, [n_virial, n_atoms])
         two = two + scratch%virial
      end if
   end subroutine add_results

   !> total = total + mean over the members of parts
   pure subroutine add_mean(n, n_members, parts, total)
      !> Numbers of each member
      integer, intent(in) :: n, n_members
      real(wp), intent(in) :: parts(n, n_members)
      real(c_double), intent(inout) :: total(n)
      integer :: i

      do i = 1, n
         total(i) = total(i) + sum(parts(i, :))/n_members
      end do
   end subroutine add_mean

   !> Write an error, or none, into the caller's
   integer(c_int) function told(error, c_error)
      type(error_type), allocatable, intent(in) :: error
      type(c_error_type), intent(inout) :: c_error
      integer :: k

      c_error%code = 0
      c_error%message = c_null_char
      if (allocated(error)) then
         c_error%code = error%code
         do k = 1, min(len(error%message), message_length - 1)
            c_error%message(k) = error%message(k:k)
         end do
      end if
      told = c_error%code
   end function told

end module tf_c_api
