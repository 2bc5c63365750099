!> Whole structures: descriptors of displaced copies; energies, forces and virial from a potential.
module tf_structures
   use tf_kinds, only : wp, i8, padded
   use tf_error, only : error_type, raise, error_value
   use tf_neighbours, only : neighbour_list_type, build_neighbour_list, place_ghosts
   use tf_descriptor, only : descriptor_type, descriptor_work_type, new_descriptor_work, descriptor_values, &
      descriptor_gradient, descriptor_scratch_type, new_descriptor_scratch, check_species
   use tf_network, only : network_type, forward, backward_to_inputs
   implicit none
   private
   public :: describe_structure, potential_type, evaluate_structure

   ! Atoms whose networks are evaluated together
   integer, parameter :: block_atoms = 32
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

contains

   !> Descriptors of copies of a structure that differ by displacements and share one neighbour list
   subroutine describe_structure(descriptors, position, cell, periodic, species, displacement, n_threads, &
         first_value, values, placed, error)
      type(descriptor_type), intent(in) :: descriptors(:)
      !> (3, n_atoms) Å
      real(wp), intent(in) :: position(:, :)
      real(wp), intent(in) :: cell(3, 3)
      logical, intent(in) :: periodic(3)
      integer, intent(in), contiguous :: species(:)
      !> (3, n_atoms, n_copies) Å; zero for the structure itself
      real(wp), intent(in) :: displacement(:, :, :)
      integer, intent(in) :: n_threads
      !> (n_atoms + 1) descriptor of atom i is values(first_value(i) + 1 : first_value(i + 1), copy)
      integer, intent(in) :: first_value(:)
      !> (n_values, n_copies)
      real(wp), intent(inout), contiguous :: values(:, :)
      !> (3, n_atoms, n_copies) positions after wrapping and displacing, Å
      real(wp), intent(inout), contiguous :: placed(:, :, :)
      type(error_type), allocatable, intent(inout) :: error
      type(neighbour_list_type) :: list
      real(wp), allocatable :: ghosts(:, :, :)
      type(descriptor_work_type) :: work
      type(descriptor_scratch_type) :: scratch
      type(error_type), allocatable :: error_here
      integer :: n_atoms, n_copies, task, i, c, t
      real(wp) :: reach

      n_atoms = size(species)
      n_copies = size(displacement, 3)
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

      !$omp parallel num_threads(n_threads) if(n_threads > 1) default(shared) private(work, scratch, ghosts, error_here, task, i, c)
      call new_descriptor_work(descriptors, list%n_most, work)
      call new_descriptor_scratch(list%n_most, scratch)
      allocate (ghosts(list%n_ghosts, 3, 1))
      if (n_copies >= n_threads) then
         !$omp do schedule(dynamic)
         do c = 1, n_copies
            call place_ghosts(list, placed(:, :, c), ghosts(:, :, 1))
            do i = 1, n_atoms
               call descriptor_values(descriptors, list, i, placed(:, :, c), ghosts(:, :, 1), species, .false., work, scratch, &
                  values(first_value(i) + 1:first_value(i + 1), c), error_here)
            end do
         end do
         !$omp end do
      else
         do c = 1, n_copies
            call place_ghosts(list, placed(:, :, c), ghosts(:, :, 1))
            !$omp do schedule(dynamic, 8)
            do i = 1, n_atoms
               call descriptor_values(descriptors, list, i, placed(:, :, c), ghosts(:, :, 1), species, .false., work, scratch, &
                  values(first_value(i) + 1:first_value(i + 1), c), error_here)
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
   end subroutine describe_structure

   !> Energies, forces F = -dE/dR and strain derivative dE/dε of a structure
   subroutine evaluate_structure(potential, position, cell, periodic, species, with_forces, n_threads, &
         atomic_energy, force, strain, values, error)
      type(potential_type), intent(in) :: potential
      real(wp), intent(in) :: position(:, :)
      real(wp), intent(in) :: cell(3, 3)
      logical, intent(in) :: periodic(3)
      integer, intent(in), contiguous :: species(:)
      logical, intent(in) :: with_forces
      integer, intent(in) :: n_threads
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
      integer :: n_atoms, n_blocks, n_chunks, t, i, k, c
      logical :: keep

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

      !$omp parallel do num_threads(n_threads) if(n_threads > 1) schedule(dynamic) default(shared) private(error_here)
      do c = 1, n_chunks
         call evaluate_chunk(c, force_part(:, :, c), strain_part(:, :, c), error_here)
         if (allocated(error_here)) then
            !$omp critical (tf_evaluate_error)
            if (.not. allocated(error)) error = error_here
            !$omp end critical (tf_evaluate_error)
         end if
      end do
      !$omp end parallel do
      if (allocated(error) .or. .not. with_forces) return
      do c = 1, n_chunks
         force = force + force_part(:, :, c)
         strain = strain + strain_part(:, :, c)
      end do

   contains

      subroutine evaluate_chunk(c, force_sum, strain_sum, error)
         integer, intent(in) :: c
         real(wp), intent(inout) :: force_sum(:, :), strain_sum(3, 3)
         type(error_type), allocatable, intent(inout) :: error
         type(descriptor_work_type), allocatable :: work(:)
         type(descriptor_scratch_type) :: scratch
         real(wp), allocatable :: g(:)
         real(wp), allocatable :: panel(:), value(:), slope(:), derivative(:)
         integer :: b, first, n, n_q, n_f
         allocate (work(merge(block_atoms, 1, with_forces)))
         do n = 1, size(work)
            call new_descriptor_work(potential%descriptors, list%n_most, work(n))
         end do
         call new_descriptor_scratch(list%n_most, scratch)
         n_f = size(potential%feature_shift, 1)
         allocate (g(n_f), panel(block_atoms*n_f), derivative(block_atoms*n_f))
         n = maxval([(potential%networks(b)%n_columns, b=1, size(potential%networks))])
         allocate (value(block_atoms*n), slope(block_atoms*n))
         do b = 1 + (c - 1)*n_blocks/n_chunks, c*n_blocks/n_chunks
            first = block_first(b)
            n = block_first(b + 1) - first
            n_q = padded(n)
            call evaluate_block(potential%networks(block_species(b)), block_species(b), &
               potential%descriptors(block_species(b))%n_feature, first, n, n_q, work, scratch, g, panel, value, slope, &
               derivative, force_sum, strain_sum, error)
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
