!> Whole structures: descriptors of displaced copies; energies, forces and virial from a potential.
module tf_structures
   use tf_kinds, only : wp, i8, padded
   use tf_error, only : error_type, raise, error_value
   use tf_neighbours, only : neighbour_list_type, build_neighbour_list, place_ghosts
   use tf_descriptor, only : descriptor_type, descriptor_work_type, new_descriptor_work, descriptor_values, &
      descriptor_gradient, descriptor_scratch_type, new_descriptor_scratch, check_species
   use tf_network, only : network_type, forward, backward_to_inputs
   use tf_signals, only : interrupted
!$ use omp_lib, only : omp_get_thread_num
   implicit none
   private
   public :: describe_structure, potential_type, evaluate_structure, workspace_type

   ! Atoms whose networks are evaluated together
   integer, parameter :: block_atoms = 32
   ! Atoms between two looks whether the user wants to stop
   integer, parameter :: atoms_per_look = 256
   ! Blocks are joined to at most this many chunks with a force array each
   integer, parameter :: max_chunks = 16

   !> Everything beyond the networks' weights that turns a structure into an energy
   type :: potential_type
      type(descriptor_type), allocatable :: descriptors(:)
      type(network_type), allocatable :: networks(:)
      !> Weights of all networks
      real(wp), allocatable :: weights(:)
      !> (n_feature_most, n_species) standardisation: (G - shift)·factor
      real(wp), allocatable :: feature_shift(:, :), feature_factor(:, :)
      !> (n_species) E_i = net/scale + shift + atomic energy, eV
      real(wp), allocatable :: energy_scale(:), energy_shift(:), energy_atomic(:)
      real(wp) :: cutoff = 0.0_wp
   end type potential_type

   !> Scratch of one thread, kept from structure to structure because allocation costs as much as the work
   type :: workspace_type
      private
      integer :: n_most = -1
      type(descriptor_work_type), allocatable :: work(:)
      type(descriptor_scratch_type) :: scratch
      real(wp), allocatable :: ghosts(:, :)
      real(wp), allocatable :: g(:), panel(:), value(:), slope(:), derivative(:)
   end type workspace_type

contains

   !> Make room for n_work atoms at a time with up to n_most neighbours each
   subroutine reserve(space, descriptors, n_most, n_work, n_ghosts, n_feature, n_columns)
      type(workspace_type), intent(inout) :: space
      type(descriptor_type), intent(in) :: descriptors(:)
      integer, intent(in) :: n_most, n_work
      !> Places for ghosts, values of a descriptor, and columns of network scratch; 0 if not needed
      integer, intent(in) :: n_ghosts, n_feature, n_columns
      integer :: k, n, n_old
      n_old = 0
      if (allocated(space%work)) n_old = size(space%work)
      if (n_most > space%n_most .or. n_work > n_old) then
         ! A little more than asked for, so that similar structures do not allocate again
         space%n_most = max(space%n_most, n_most + n_most/8)
         n = max(n_old, n_work)
         if (allocated(space%work)) deallocate (space%work)
         allocate (space%work(n))
         do k = 1, n
            call new_descriptor_work(descriptors, space%n_most, space%work(k))
         end do
         call new_descriptor_scratch(descriptors, space%n_most, space%scratch)
      end if
      if (n_ghosts > 0) then
         if (allocated(space%ghosts)) then
            if (size(space%ghosts, 1) /= n_ghosts) deallocate (space%ghosts)
         end if
         if (.not. allocated(space%ghosts)) allocate (space%ghosts(n_ghosts, 3))
      end if
      call grow(space%g, n_feature)
      call grow(space%panel, block_atoms*n_feature)
      call grow(space%derivative, block_atoms*n_feature)
      call grow(space%value, block_atoms*n_columns)
      call grow(space%slope, block_atoms*n_columns)
   end subroutine reserve

   !> Has the user interrupted?  Asks Python only if `look`; `stopped` is shared by the threads
   logical function must_stop(look, stopped)
      logical, intent(in) :: look
      logical, intent(inout) :: stopped
      !$omp atomic read
      must_stop = stopped
      if (must_stop .or. .not. look) return
      must_stop = interrupted()
      if (.not. must_stop) return
      !$omp atomic write
      stopped = .true.
   end function must_stop

   !> At least n elements, the old ones lost
   subroutine grow(array, n)
      real(wp), allocatable, intent(inout) :: array(:)
      integer, intent(in) :: n
      if (n == 0) return
      if (allocated(array)) then
         if (size(array) >= n) return
         deallocate (array)
      end if
      allocate (array(n))
   end subroutine grow

   !> Descriptors of copies of a structure that differ by displacements and share one neighbour list
   subroutine describe_structure(descriptors, position, cell, periodic, species, displacement, spaces, &
         first_value, values, placed, error)
      type(descriptor_type), intent(in) :: descriptors(:)
      !> (3, n_atoms) Å
      real(wp), intent(in) :: position(:, :)
      real(wp), intent(in) :: cell(3, 3)
      logical, intent(in) :: periodic(3)
      integer, intent(in), contiguous :: species(:)
      !> (3, n_atoms, n_copies) Å; zero for the structure itself
      real(wp), intent(in) :: displacement(:, :, :)
      !> Scratch of each thread to be used
      type(workspace_type), intent(inout) :: spaces(:)
      !> (n_atoms + 1) descriptor of atom i is values(first_value(i) + 1 : first_value(i + 1), copy)
      integer, intent(in) :: first_value(:)
      !> (n_values, n_copies)
      real(wp), intent(inout), contiguous :: values(:, :)
      !> (3, n_atoms, n_copies) positions after wrapping and displacing, Å
      real(wp), intent(inout), contiguous :: placed(:, :, :)
      type(error_type), allocatable, intent(inout) :: error
      type(neighbour_list_type) :: list
      type(error_type), allocatable :: error_here
      integer :: n_atoms, n_copies, n_threads, me, i, c, t
      logical :: stopped
      real(wp) :: reach

      n_atoms = size(species)
      n_copies = size(displacement, 3)
      n_threads = size(spaces)
      call check_species(descriptors, species, error)
      if (allocated(error)) return
      reach = 0.0_wp
      do t = 1, size(descriptors)
         if (any(species == t)) reach = max(reach, descriptors(t)%cutoff)
      end do
      if (.not. all(abs(displacement) <= huge(1.0_wp))) then
         call raise(error, error_value, "a displacement is not finite")
         return
      end if
      ! Two atoms may approach each other by twice the largest displacement
      if (n_atoms > 0 .and. n_copies > 0) reach = reach + 2.0_wp*sqrt(maxval(sum(displacement**2, dim=1)))
      call build_neighbour_list(position, cell, periodic, reach, list, error)
      if (allocated(error)) return
      do c = 1, n_copies
         placed(:, :, c) = list%position + displacement(:, :, c)
      end do

      stopped = .false.
      !$omp parallel num_threads(n_threads) if(n_threads > 1) default(shared) private(me, error_here, i, c)
      me = 1
      !$ me = me + omp_get_thread_num()
      ! Inside another parallel region this one has a single thread, whatever its number there
      if (n_threads == 1) me = 1
      call reserve(spaces(me), descriptors, list%n_most, 1, list%n_ghosts, 0, 0)
      if (n_copies >= n_threads) then
         !$omp do schedule(dynamic)
         do c = 1, n_copies
            call place_ghosts(list, placed(:, :, c), spaces(me)%ghosts)
            do i = 1, n_atoms
               call describe_atom(spaces(me), me, i, c, error_here)
            end do
         end do
         !$omp end do
      else
         do c = 1, n_copies
            call place_ghosts(list, placed(:, :, c), spaces(me)%ghosts)
            !$omp do schedule(dynamic, 8)
            do i = 1, n_atoms
               call describe_atom(spaces(me), me, i, c, error_here)
            end do
            !$omp end do
         end do
      end if
      if (allocated(error_here)) then
         !$omp critical (tf_describe_error)
         if (.not. allocated(error)) error = error_here
         !$omp end critical (tf_describe_error)
      end if
      !$omp end parallel

   contains

      subroutine describe_atom(space, me, i, c, error)
         type(workspace_type), intent(inout) :: space
         integer, intent(in) :: me, i, c
         type(error_type), allocatable, intent(inout) :: error
         ! Counted over the copies, so that many copies of a small structure look as often as a large one
         if (must_stop(me == 1 .and. mod(int(c - 1, i8)*n_atoms + i, int(atoms_per_look, i8)) == 0, stopped)) return
         call descriptor_values(descriptors, list, i, placed(:, :, c), space%ghosts, species, .false., &
            space%work(1), space%scratch, values(first_value(i) + 1:first_value(i + 1), c), error)
      end subroutine describe_atom

   end subroutine describe_structure

   !> Energies, forces F = -dE/dR and strain derivative dE/dε of a structure
   subroutine evaluate_structure(potential, position, cell, periodic, species, with_forces, spaces, &
         atomic_energy, force, strain, values, error)
      type(potential_type), intent(in) :: potential
      real(wp), intent(in) :: position(:, :)
      real(wp), intent(in) :: cell(3, 3)
      logical, intent(in) :: periodic(3)
      integer, intent(in), contiguous :: species(:)
      logical, intent(in) :: with_forces
      !> Scratch of each thread to be used
      type(workspace_type), intent(inout) :: spaces(:)
      !> (n_atoms) eV, atomic reference energy included
      real(wp), intent(out) :: atomic_energy(:)
      !> (3, n_atoms) eV/Å; zero unless with_forces
      real(wp), intent(out) :: force(:, :)
      !> dE/dε = Σ_i Σ_j r_ij ⊗ ∂E_i/∂r_ij, eV; stress is strain/volume
      real(wp), intent(out) :: strain(3, 3)
      !> (n_feature_most, n_atoms) standardised descriptors; only written if it has that size
      real(wp), intent(inout) :: values(:, :)
      type(error_type), allocatable, intent(inout) :: error
      type(neighbour_list_type) :: list
      real(wp), allocatable :: ghosts(:, :), force_part(:, :, :), strain_part(:, :, :)
      integer, allocatable :: order(:), block_first(:), block_species(:)
      type(error_type), allocatable :: error_here
      integer :: n_atoms, n_blocks, n_chunks, n_threads, n_columns, me, t, i, k, c
      logical :: keep, stopped

      n_atoms = size(species)
      atomic_energy = 0.0_wp
      force = 0.0_wp
      strain = 0.0_wp
      if (n_atoms == 0) return
      call check_species(potential%descriptors, species, error)
      if (allocated(error)) return
      call build_neighbour_list(position, cell, periodic, potential%cutoff, list, error)
      if (allocated(error)) return
      allocate (ghosts(list%n_ghosts, 3))
      call place_ghosts(list, list%position, ghosts)
      keep = size(values, 2) == n_atoms

      ! Blocks of atoms of one species, in a fixed order
      allocate (order(n_atoms), block_first(n_atoms + 1), block_species(n_atoms))
      k = 0
      n_blocks = 0
      do t = 1, size(potential%networks)
         c = k
         do i = 1, n_atoms
            if (species(i) /= t) cycle
            if (mod(k - c, block_atoms) == 0) then
               n_blocks = n_blocks + 1
               block_first(n_blocks) = k + 1
               block_species(n_blocks) = t
            end if
            k = k + 1
            order(k) = i
         end do
      end do
      block_first(n_blocks + 1) = n_atoms + 1
      n_chunks = min(n_blocks, max_chunks)
      k = merge(n_atoms, 0, with_forces)
      allocate (force_part(3, k, n_chunks), source=0.0_wp)
      allocate (strain_part(3, 3, n_chunks), source=0.0_wp)

      stopped = .false.
      n_threads = size(spaces)
      n_columns = maxval(potential%networks%n_columns)
      !$omp parallel num_threads(n_threads) if(n_threads > 1) default(shared) private(me, error_here)
      me = 1
      !$ me = me + omp_get_thread_num()
      if (n_threads == 1) me = 1
      call reserve(spaces(me), potential%descriptors, list%n_most, merge(min(block_atoms, n_atoms), 1, with_forces), 0, &
         size(potential%feature_shift, 1), n_columns)
      !$omp do schedule(dynamic)
      do c = 1, n_chunks
         call evaluate_chunk(c, me, spaces(me), force_part(:, :, c), strain_part(:, :, c), error_here)
         if (allocated(error_here)) then
            !$omp critical (tf_evaluate_error)
            if (.not. allocated(error)) error = error_here
            !$omp end critical (tf_evaluate_error)
         end if
      end do
      !$omp end do
      !$omp end parallel
      if (allocated(error) .or. .not. with_forces) return
      do c = 1, n_chunks
         force = force + force_part(:, :, c)
         strain = strain + strain_part(:, :, c)
      end do

   contains

      subroutine evaluate_chunk(c, me, space, force_sum, strain_sum, error)
         integer, intent(in) :: c, me
         type(workspace_type), intent(inout) :: space
         real(wp), intent(inout) :: force_sum(:, :), strain_sum(3, 3)
         type(error_type), allocatable, intent(inout) :: error
         integer :: b, t, n
         do b = 1 + (c - 1)*n_blocks/n_chunks, c*n_blocks/n_chunks
            if (must_stop(me == 1 .and. mod(b, atoms_per_look/block_atoms) == 0, stopped)) return
            t = block_species(b)
            n = block_first(b + 1) - block_first(b)
            call evaluate_block(potential%networks(t), t, potential%descriptors(t)%n_feature, block_first(b), n, &
               padded(n), space%work, space%scratch, space%g, space%panel, space%value, space%slope, &
               space%derivative, force_sum, strain_sum, error)
            if (allocated(error)) return
         end do
      end subroutine evaluate_chunk

      subroutine evaluate_block(net, t, n_f, first, n, n_q, work, scratch, g, panel, value, slope, derivative, &
            force_sum, strain_sum, error)
         type(network_type), intent(in) :: net
         integer, intent(in) :: t, n_f, first, n, n_q
         type(descriptor_work_type), intent(inout) :: work(:)
         type(descriptor_scratch_type), intent(inout) :: scratch
         real(wp), intent(inout) :: g(n_f)
         real(wp), intent(inout) :: panel(n_q, n_f), value(n_q, net%n_columns), slope(n_q, net%n_columns), &
            derivative(n_q, n_f)
         real(wp), intent(inout) :: force_sum(:, :), strain_sum(3, 3)
         type(error_type), allocatable, intent(inout) :: error
         integer :: q, i, j, k
         real(wp) :: fx, fy, fz, own(3), turn(3, 3)
         panel = 0.0_wp
         do q = 1, n
            i = order(first + q - 1)
            call descriptor_values(potential%descriptors, list, i, list%position, ghosts, species, with_forces, &
               work(merge(q, 1, with_forces)), scratch, g, error)
            if (allocated(error)) return
            panel(q, :) = (g - potential%feature_shift(:n_f, t))*potential%feature_factor(:n_f, t)
            if (keep) values(:n_f, i) = panel(q, :)
         end do
         call forward(net, n_q, panel, potential%weights(net%first_weight:), value, slope)
         do q = 1, n
            atomic_energy(order(first + q - 1)) = value(q, net%n_columns)/potential%energy_scale(t) &
               + potential%energy_shift(t) + potential%energy_atomic(t)
         end do
         if (.not. with_forces) return
         call backward_to_inputs(net, n_q, potential%weights(net%first_weight:), slope, derivative)
         do q = 1, n
            i = order(first + q - 1)
            g = derivative(q, :)*potential%feature_factor(:n_f, t)/potential%energy_scale(t)
            call descriptor_gradient(potential%descriptors, t, g, work(q), scratch)
            associate (a => work(q)%around)
               own = 0.0_wp
               turn = 0.0_wp
               do k = 1, a%n
                  j = a%atom(k)
                  fx = a%gx(k)
                  fy = a%gy(k)
                  fz = a%gz(k)
                  own(1) = own(1) + fx
                  own(2) = own(2) + fy
                  own(3) = own(3) + fz
                  force_sum(1, j) = force_sum(1, j) - fx
                  force_sum(2, j) = force_sum(2, j) - fy
                  force_sum(3, j) = force_sum(3, j) - fz
                  turn(1, 1) = turn(1, 1) + a%x(k)*fx
                  turn(2, 1) = turn(2, 1) + a%x(k)*fy
                  turn(3, 1) = turn(3, 1) + a%x(k)*fz
                  turn(1, 2) = turn(1, 2) + a%y(k)*fx
                  turn(2, 2) = turn(2, 2) + a%y(k)*fy
                  turn(3, 2) = turn(3, 2) + a%y(k)*fz
                  turn(1, 3) = turn(1, 3) + a%z(k)*fx
                  turn(2, 3) = turn(2, 3) + a%z(k)*fy
                  turn(3, 3) = turn(3, 3) + a%z(k)*fz
               end do
               force_sum(:, i) = force_sum(:, i) + own
               strain_sum = strain_sum + turn
            end associate
         end do
      end subroutine evaluate_block

   end subroutine evaluate_structure

end module tf_structures
