!> Binary potential files of ænet (`.nn`): the second place that knows them (the first is formats/aenet/potential_file.py, with
!> formats/setup_block.py); one table of good and bad files tests both.
module tf_potential_file
   use, intrinsic :: ieee_arithmetic, only : ieee_is_finite
   use tf_kinds, only : wp, i8
   use tf_activation, only : n_activation
   use tf_descriptor, only : basis_chebyshev, basis_behler
   use tf_error, only : error_type, check_memory
   use tf_records, only : record_reader_type, open_records, quoted, number
   implicit none
   private
   public :: potential_file_type, read_potential_file, species_length

   !> Characters of a species, a description, a file name and a kind of descriptor
   integer, parameter :: species_length = 2, text_length = 1024, basis_length = 100
   !> Parameters of a function
   integer, parameter :: n_parameters = 4

   !> What a file says about the potential of one species
   type :: potential_file_type
      character(len=:), allocatable :: path
      !> Nodes of each layer; activation codes of the layers behind the first
      integer, allocatable :: n_nodes(:), activation(:)
      real(wp), allocatable :: weights(:)
      character(len=species_length) :: species = ""
      !> Species of the neighbours, in the order that defines their weights
      character(len=species_length), allocatable :: environment(:)
      !> `basis_chebyshev` or `basis_behler` of tf_descriptor
      integer :: basis = 0
      !> (n_functions) kind; (4, n_functions) parameters; (2, n_functions) places in `environment`, 0 where unused
      integer, allocatable :: function_kind(:), function_place(:, :)
      real(wp), allocatable :: parameters(:, :)
      !> Atoms in the training set
      integer :: n_evaluated = 0
      !> (n_functions) range, mean and mean square of the descriptor in the training set
      real(wp), allocatable :: minimum(:), maximum(:), mean(:), mean_square(:)
      !> E_i = net/scale + shift + atomic energy, eV
      real(wp) :: energy_scale = 1.0_wp, energy_shift = 0.0_wp, energy_atomic = 0.0_wp
   end type potential_file_type

contains

   !> Read and check the potential of one species
   subroutine read_potential_file(path, file, error)
      character(len=*), intent(in) :: path
      type(potential_file_type), intent(out) :: file
      type(error_type), allocatable, intent(inout) :: error
      type(record_reader_type) :: reader
      integer(i8) :: at

      file%path = path
      call open_records(path, reader, error)
      if (allocated(error)) return

      call read_network(reader, file, error)
      if (allocated(error)) return
      at = reader%position
      call read_setup(reader, file, error)
      if (allocated(error)) return
      if (size(file%function_kind) /= file%n_nodes(1)) then
         call reader%fail("setup of "//trim(file%species)//" has "//number(int(size(file%function_kind), i8)) &
            //" functions", at, error, expected=number(int(file%n_nodes(1), i8))//", the number of network inputs")
         return
      end if
      call read_training_set(reader, file, error)
      if (.not. allocated(error)) call reader%end(error)
   end subroutine read_potential_file

   !> Layers, activation functions and weights
   subroutine read_network(reader, file, error)
      type(record_reader_type), intent(inout) :: reader
      type(potential_file_type), intent(inout) :: file
      type(error_type), allocatable, intent(inout) :: error
      integer :: n_layers, largest, n_weights, n_values, l, status
      integer(i8), allocatable :: weights_before(:), values_before(:)
      integer(i8) :: at

      n_layers = reader%integer_between("number of layers", 2, error)
      largest = reader%integer_between("size of the largest layer", 1, error)
      n_weights = reader%integer_between("number of weights", 2, error)
      n_values = reader%integer_between("number of node values", 1, error)
      at = reader%position
      file%n_nodes = reader%integers("layer sizes", n_layers, error)
      if (allocated(error)) return
      if (minval(file%n_nodes) < 1 .or. maxval(file%n_nodes) /= largest .or. file%n_nodes(n_layers) /= 1) then
         call reader%fail("layer sizes", at, error, quoted(listed(file%n_nodes)), &
            "positive numbers, at most "//number(int(largest, i8))//", the last one 1")
         return
      end if
      at = reader%position
      file%activation = reader%integers("activation functions", n_layers - 1, error)
      if (allocated(error)) return
      if (minval(file%activation) < 0 .or. maxval(file%activation) >= n_activation) then
         call reader%fail("activation functions", at, error, quoted(listed(file%activation)), &
            "codes from 0 to "//number(int(n_activation - 1, i8)))
         return
      end if

      ! ænet's tables of the weights and values before each layer
      allocate (weights_before(n_layers), values_before(n_layers), source=0_i8, stat=status)
      call check_memory(status, "the layers of a network", 16_i8*n_layers, error)
      if (allocated(error)) return
      do l = 1, n_layers - 1
         weights_before(l + 1) = weights_before(l) + (file%n_nodes(l) + 1_i8)*file%n_nodes(l + 1)
         values_before(l + 1) = values_before(l) + file%n_nodes(l) + 1
      end do
      call check_offsets("weight offsets", weights_before)
      call check_offsets("value offsets", values_before)
      if (allocated(error)) return
      if (n_weights /= weights_before(n_layers)) then
         call reader%fail("number of weights contradicts the layers", reader%position, error, &
            number(int(n_weights, i8)), number(weights_before(n_layers)))
      else if (n_values /= values_before(n_layers) + 1) then
         call reader%fail("number of node values contradicts the layers", reader%position, error, &
            number(int(n_values, i8)), number(values_before(n_layers) + 1))
      end if
      file%weights = reader%reals("weights", n_weights, error)

   contains

      !> Compare a record with what follows from the layers
      subroutine check_offsets(what, expected)
         character(len=*), intent(in) :: what
         !> What follows from the layers
         integer(i8), intent(in) :: expected(:)
         integer, allocatable :: found(:)
         integer(i8) :: start

         start = reader%position
         found = reader%integers(what, n_layers, error)
         if (allocated(error)) return
         if (any(found /= expected)) call reader%fail(what, start, error, quoted(listed(found)), &
            listed(int(min(expected, int(huge(1), i8)))))
      end subroutine check_offsets

   end subroutine read_network

   !> The descriptor and its statistics
   subroutine read_setup(reader, file, error)
      type(record_reader_type), intent(inout) :: reader
      type(potential_file_type), intent(inout) :: file
      type(error_type), allocatable, intent(inout) :: error
      character(len=:), allocatable :: where, text
      character(len=species_length), allocatable :: names(:)
      real(wp), allocatable :: one(:)
      integer :: n, n_environment
      integer(i8) :: at

      text = reader%text("description of setup", text_length, error)
      names = species_names(reader, "species of setup", 1, error)
      if (allocated(error)) return
      file%species = names(1)
      where = " setup of "//trim(file%species)
      n_environment = reader%integer_between("number of environment species in"//where, 1, error)
      file%environment = species_names(reader, "environment species in"//where, n_environment, error)
      one = reader%reals("smallest distance in"//where, 1, error)
      at = reader%position
      one = reader%reals("cutoff in"//where, 1, error)
      if (allocated(error)) return
      if (one(1) <= 0.0_wp) then
         call reader%fail("cutoff in"//where, at, error, shown(one(1)), "a positive length in Å")
         return
      end if
      at = reader%position
      text = reader%text("basis type in"//where, basis_length, error)
      if (allocated(error)) return
      select case (trim(adjustl(lower(text))))
      case ("chebyshev")
         file%basis = basis_chebyshev
      case ("behler2011")
         file%basis = basis_behler
      case default
         call reader%fail("basis type in"//where, at, error, quoted(text), "Chebyshev or Behler2011")
         return
      end select

      n = reader%integer_between("number of functions in"//where, 1, error)
      if (reader%integer_between("number of parameters in"//where, n_parameters, error, n_parameters) < 0) return
      at = reader%position
      file%function_kind = reader%integers("functions in"//where, n, error)
      if (allocated(error)) return
      ! Unused places of a Chebyshev setup are whatever ænet left there, so only used ones are checked
      one = reader%reals("function parameters in"//where, n_parameters*n, error, file%basis == basis_behler)
      if (.not. allocated(error)) file%parameters = reshape(one, [n_parameters, n])
      names = [character(len=species_length) ::]
      call read_places()
      call read_statistics()
      if (.not. allocated(error)) call check_functions(reader, file, at, error)

   contains

      !> Which neighbour species each function counts
      subroutine read_places()
         integer, allocatable :: places(:)

         places = reader%integers("neighbour species in"//where, 2*n, error)
         if (.not. allocated(error)) file%function_place = reshape(places, [2, n])
      end subroutine read_places

      subroutine read_statistics()

         file%n_evaluated = reader%integer_between("number of atoms in the statistics of"//where, 0, error)
         file%minimum = reader%reals("smallest descriptor values in"//where, n, error)
         file%maximum = reader%reals("largest descriptor values in"//where, n, error)
         file%mean = reader%reals("mean descriptor values in"//where, n, error)
         file%mean_square = reader%reals("mean squares of descriptor values in"//where, n, error)
      end subroutine read_statistics

   end subroutine read_setup

   !> Refuse a table of functions that contradicts itself
   subroutine check_functions(reader, file, at, error)
      type(record_reader_type), intent(in) :: reader
      type(potential_file_type), intent(in) :: file
      !> Byte offset of the table
      integer(i8), intent(in) :: at
      type(error_type), allocatable, intent(inout) :: error
      character(len=:), allocatable :: problem
      integer :: length, most

      problem = ""
      most = size(file%environment)
      if (file%basis == basis_chebyshev) then
         associate (p => file%parameters(:, 1))
            if (.not. all(ieee_is_finite(p))) then
               problem = "parameters are not finite"
            else if (any(p([2, 4]) < 0.0_wp) .or. any(abs(p([2, 4]) - aint(p([2, 4]))) > 0.0_wp) .or. &
               any(p([2, 4]) > 1.0e6_wp)) then
               problem = "orders "//shown(p(2))//" and "//shown(p(4))//" are not natural numbers"
            else if (any(p([1, 3]) < 0.0_wp)) then
               problem = "a cutoff is negative"
            else
               length = (nint(p(2)) + nint(p(4)) + 2)*merge(1, 2, most == 1)
               if (length /= size(file%function_kind)) problem = number(int(size(file%function_kind), i8)) &
                  //" functions, but the orders make "//number(int(length, i8))
            end if
         end associate
      else if (any(file%function_kind < 1) .or. any(file%function_kind > 5)) then
         problem = "a function is none of G1 to G5"
      else if (any(file%parameters(1, :) <= 0.0_wp)) then
         problem = "a cutoff is not positive"
      else if (any(file%function_place(1, :) < 1) .or. &
         any(file%function_place(2, :) < merge(1, 0, file%function_kind >= 4)) .or. any(file%function_place > most)) then
         problem = "a neighbour species is not in the environment"
      end if
      if (len(problem) > 0) call reader%fail("setup of "//trim(file%species)//": "//problem, at, error)
   end subroutine check_functions

   !> Energy scaling and atomic energy
   subroutine read_training_set(reader, file, error)
      type(record_reader_type), intent(inout) :: reader
      type(potential_file_type), intent(inout) :: file
      type(error_type), allocatable, intent(inout) :: error
      character(len=species_length), allocatable :: names(:)
      character(len=:), allocatable :: text
      real(wp), allocatable :: energies(:), ranges(:)
      integer :: n_species, k, unused
      integer(i8) :: start, at

      start = reader%position
      text = reader%text("training-set file name", text_length, error)
      unused = reader%integer_between("training set normalised", 0, error, 1)
      at = reader%position
      energies = reader%reals("energy scale", 1, error)
      if (allocated(error)) return
      file%energy_scale = energies(1)
      if (abs(file%energy_scale) <= 0.0_wp) then
         call reader%fail("energy scale", at, error, shown(file%energy_scale), "a number other than zero")
         return
      end if
      energies = reader%reals("energy shift", 1, error)
      if (allocated(error)) return
      file%energy_shift = energies(1)
      n_species = reader%integer_between("number of species", 1, error)
      names = species_names(reader, "species of the training set", n_species, error)
      energies = reader%reals("atomic energies", n_species, error)
      unused = reader%integer_between("number of atoms of the training set", 0, error)
      unused = reader%integer_between("number of structures of the training set", 0, error)
      ! Only remembered, never used in a calculation: even NaN does no harm here
      ranges = reader%reals("energy range", 3, error, finite=.false.)
      if (allocated(error)) return

      do k = 1, n_species
         if (names(k) /= file%species) cycle
         file%energy_atomic = energies(k)
         return
      end do
      call reader%fail("species of the training set", start, error, quoted(joined(names)), &
         trim(file%species)//" among them")
   end subroutine read_training_set

   !> A record of species names; empty and repeated names are refused
   function species_names(reader, what, count, error) result(names)
      type(record_reader_type), intent(inout) :: reader
      character(len=*), intent(in) :: what
      integer, intent(in) :: count
      type(error_type), allocatable, intent(inout) :: error
      character(len=species_length), allocatable :: names(:)
      character(len=:), allocatable :: bytes
      integer(i8) :: at
      integer :: k

      at = reader%position
      bytes = reader%payload(what, int(count, i8)*species_length, error)
      allocate (names(merge(0, count, allocated(error))))
      do k = 1, size(names)
         names(k) = bytes((k - 1)*species_length + 1:k*species_length)
         if (names(k) == "" .or. .not. all(is_printable(names(k)))) then
            call reader%fail(what, at, error, quoted(names(k)), "a chemical symbol")
            return
         end if
         if (any(names(:k - 1) == names(k))) then
            call reader%fail(what, at, error, quoted(joined(names(:k))), "different species")
            return
         end if
      end do
   end function species_names

   !> For each character: is it printable ASCII?
   pure function is_printable(name) result(printable)
      character(len=*), intent(in) :: name
      logical :: printable(len(name))
      integer :: k

      do k = 1, len(name)
         printable(k) = iachar(name(k:k)) >= 32 .and. iachar(name(k:k)) < 127
      end do
   end function is_printable

   !> Names with blanks between them
   pure function joined(names) result(text)
      character(len=species_length), intent(in) :: names(:)
      character(len=:), allocatable :: text
      integer :: k

      text = ""
      do k = 1, size(names)
         text = trim(text//" "//names(k))
      end do
      text = trim(adjustl(text))
   end function joined

   !> Integers with blanks between them
   pure function listed(values) result(text)
      integer, intent(in) :: values(:)
      character(len=:), allocatable :: text
      integer :: k

      text = ""
      do k = 1, size(values)
         text = text//" "//number(int(values(k), i8))
      end do
      text = trim(adjustl(text))
   end function listed

   !> A real number as it stands in a message
   pure function shown(value) result(text)
      real(wp), intent(in) :: value
      character(len=:), allocatable :: text
      character(len=24) :: buffer

      write (buffer, "(g0.6)") value
      text = trim(adjustl(buffer))
      if (scan(text, "eE") > 0 .or. index(text, ".") == 0) return
      text = text(:verify(text, "0", back=.true.))
      if (text(len(text):) == ".") text = text(:len(text) - 1)
   end function shown

   !> ASCII letters in lower case
   pure function lower(text) result(small)
      character(len=*), intent(in) :: text
      character(len=len(text)) :: small
      integer :: k

      small = text
      do k = 1, len(text)
         if (text(k:k) >= "A" .and. text(k:k) <= "Z") small(k:k) = achar(iachar(text(k:k)) + 32)
      end do
   end function lower

end module tf_potential_file
