!> Energies, forces and virial of structures from a potential, or from all members of a committee at once.
module tf_potential
   use tf_kinds, only : wp, padded
   use tf_error, only : error_type
   use tf_neighbours, only : neighbour_list_type, place_ghosts
   use tf_descriptor, only : descriptor_type, descriptor_work_type, descriptor_values, descriptor_gradient, &
      descriptor_scratch_type, check_species
   use tf_network, only : network_type, forward, backward_to_inputs
   use tf_workspace, only : workspace_type, reserve, block_atoms, atoms_per_look
   use tf_signals, only : must_stop
!$ use omp_lib, only : omp_get_thread_num
   implicit none
   private
   public :: potential_type, evaluate_structure

   ! Blocks are joined to at most this many chunks with a force array each
   integer, parameter :: max_chunks = 16

   !> Everything that turns a structure into energies.  The members of a committee share the descriptors;
   !> arrays of networks run over the species of the first member, then those of the second, …
   type :: potential_type
      type(descriptor_type), allocatable :: descriptors(:)
      integer :: n_members = 1
      !> (n_species·n_members)
      type(network_type), allocatable :: networks(:)
      !> Weights of all networks
      real(wp), allocatable :: weights(:)
      !> (n_feature_most, n_species·n_members) standardisation: (G - shift)·factor
      real(wp), allocatable :: feature_shift(:, :), feature_factor(:, :)
      !> (n_species·n_members) E_i = net/scale + shift + atomic energy, eV
      real(wp), allocatable :: energy_scale(:), energy_shift(:), energy_atomic(:)
      !> (n_feature_most, n_species) range of the descriptors in the training set, and the inverse of the unit
      !> in which a departure from it is measured
      real(wp), allocatable :: feature_low(:, :), feature_high(:, :), feature_unit(:, :)
      real(wp) :: cutoff = 0.0_wp
   end type potential_type

contains

   !> Energies, forces F = -dE/dR and strain derivative dE/dε of a structure
   subroutine evaluate_structure(potential, list, position, species, with_forces, spaces, atomic_energy, force, &
         strain, values, excess, component, error)
      type(potential_type), intent(in) :: potential
      !> Neighbours within the cutoff or beyond
      type(neighbour_list_type), intent(in) :: list
      !> (3, n_atoms) Å, near list%position
      real(wp), intent(in), contiguous :: position(:, :)
      integer, intent(in), contiguous :: species(:)
      logical, intent(in) :: with_forces
      !> Scratch of each thread to be used
      type(workspace_type), intent(inout) :: spaces(:)
      !> (n_atoms, n_members) eV, atomic reference energy included
      real(wp), intent(out) :: atomic_energy(:, :)
      !> (3, n_atoms, n_members) eV/Å; zero unless with_forces
      real(wp), intent(out) :: force(:, :, :)
      !> (3, 3, n_members) dE/dε = Σ_i Σ_j r_ij ⊗ ∂E_i/∂r_ij, eV; stress is strain/volume
      real(wp), intent(out) :: strain(:, :, :)
      !> (n_feature_most, n_atoms) descriptors standardised as the first member does; only written if it has that size
      real(wp), intent(inout) :: values(:, :)
      !> (n_atoms) how far a descriptor is outside the range of the training set (negative: inside), and which
      !> of its values that is; only written if they have that size
      real(wp), intent(inout) :: excess(:)
      integer, intent(inout) :: component(:)
      type(error_type), allocatable, intent(inout) :: error
      real(wp), allocatable :: ghosts(:, :), force_part(:, :, :, :), strain_part(:, :, :, :)
      integer, allocatable :: order(:), block_first(:), block_species(:)
      type(error_type), allocatable :: error_here
      integer :: n_atoms, n_species, n_blocks, n_chunks, n_threads, n_columns, me, t, i, k, c, m
      logical :: keep, compare, stopped

      n_atoms = size(species)
      n_species = size(potential%descriptors)
      atomic_energy = 0.0_wp
      strain = 0.0_wp
      if (.not. with_forces) force = 0.0_wp
      if (n_atoms == 0) return
      call check_species(potential%descriptors, species, error)
      if (allocated(error)) return
      keep = size(values, 2) == n_atoms
      compare = size(excess) == n_atoms

      ! Blocks of atoms of one species, in a fixed order
      allocate (order(n_atoms), block_first(n_atoms + 1), block_species(n_atoms))
      k = 0
      n_blocks = 0
      do t = 1, n_species
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
      allocate (ghosts(list%n_ghosts, 3), force_part(3, k, potential%n_members, n_chunks))
      allocate (strain_part(3, 3, potential%n_members, n_chunks))
      call place_ghosts(list, position, ghosts)

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
         call evaluate_chunk(c, me, spaces(me), force_part(:, :, :, c), strain_part(:, :, :, c), error_here)
         if (allocated(error_here)) then
            !$omp critical (tf_evaluate_error)
            if (.not. allocated(error)) error = error_here
            !$omp end critical (tf_evaluate_error)
         end if
      end do
      !$omp end do
      if (with_forces) then
         !$omp do schedule(static) collapse(2)
         do m = 1, potential%n_members
            do i = 1, n_atoms
               force(:, i, m) = force_part(:, i, m, 1)
               do c = 2, n_chunks
                  force(:, i, m) = force(:, i, m) + force_part(:, i, m, c)
               end do
            end do
         end do
         !$omp end do
      end if
      !$omp end parallel
      if (allocated(error) .or. .not. with_forces) return
      do c = 1, n_chunks
         strain = strain + strain_part(:, :, :, c)
      end do

   contains

      subroutine evaluate_chunk(c, me, space, force_sum, strain_sum, error)
         integer, intent(in) :: c, me
         type(workspace_type), intent(inout) :: space
         real(wp), intent(out), contiguous :: force_sum(:, :, :), strain_sum(:, :, :)
         type(error_type), allocatable, intent(inout) :: error
         integer :: b, t, n, most
         force_sum = 0.0_wp
         strain_sum = 0.0_wp
         do b = 1 + (c - 1)*n_blocks/n_chunks, c*n_blocks/n_chunks
            if (must_stop(me == 1 .and. mod(b, atoms_per_look/block_atoms) == 0, stopped)) return
            t = block_species(b)
            n = block_first(b + 1) - block_first(b)
            most = maxval(potential%networks(t::n_species)%n_columns)
            call evaluate_block(t, potential%descriptors(t)%n_feature, most, block_first(b), n, padded(n), space%work, &
               space%scratch, space%g, space%raw, space%panel, space%value, space%slope, space%derivative, &
               force_sum, strain_sum, error)
            if (allocated(error)) return
         end do
      end subroutine evaluate_chunk

      subroutine evaluate_block(t, n_f, n_columns, first, n, n_q, work, scratch, g, raw, panel, value, slope, &
            derivative, force_sum, strain_sum, error)
         integer, intent(in) :: t, n_f, n_columns, first, n, n_q
         type(descriptor_work_type), intent(inout) :: work(:)
         type(descriptor_scratch_type), intent(inout) :: scratch
         real(wp), intent(inout) :: g(n_f)
         real(wp), intent(inout) :: raw(n_q, n_f), panel(n_q, n_f), value(n_q, n_columns), slope(n_q, n_columns), &
            derivative(n_q, n_f)
         real(wp), intent(inout), contiguous :: force_sum(:, :, :), strain_sum(:, :, :)
         type(error_type), allocatable, intent(inout) :: error
         integer :: q, i, m, s, f
         raw(n + 1:, :) = 0.0_wp
         do q = 1, n
            i = order(first + q - 1)
            call descriptor_values(potential%descriptors, list, i, position, ghosts, species, with_forces, &
               work(merge(q, 1, with_forces)), scratch, g, error)
            if (allocated(error)) return
            raw(q, :) = g
         end do
         if (compare) call compare_with_range(t, n_f, n, n_q, order(first:first + n - 1), raw)
         do m = 1, potential%n_members
            s = t + (m - 1)*n_species
            associate (net => potential%networks(s))
               do f = 1, n_f
                  panel(:, f) = (raw(:, f) - potential%feature_shift(f, s))*potential%feature_factor(f, s)
               end do
               if (keep .and. m == 1) then
                  do q = 1, n
                     values(:n_f, order(first + q - 1)) = panel(q, :)
                  end do
               end if
               call forward(net, n_q, panel, potential%weights(net%first_weight:), value, slope)
               do q = 1, n
                  atomic_energy(order(first + q - 1), m) = value(q, net%n_columns)/potential%energy_scale(s) &
                     + potential%energy_shift(s) + potential%energy_atomic(s)
               end do
               if (.not. with_forces) cycle
               call backward_to_inputs(net, n_q, potential%weights(net%first_weight:), slope, derivative)
            end associate
            do q = 1, n
               g = derivative(q, :)*potential%feature_factor(:n_f, s)/potential%energy_scale(s)
               call descriptor_gradient(potential%descriptors, t, g, work(q), scratch)
               call add_forces(order(first + q - 1), work(q), force_sum(:, :, m), strain_sum(:, :, m))
            end do
         end do
      end subroutine evaluate_block

      !> Forces and strain derivative of the energy of atom i from its derivatives with respect to the neighbours
      subroutine add_forces(i, work, force_sum, strain_sum)
         integer, intent(in) :: i
         type(descriptor_work_type), intent(in) :: work
         real(wp), intent(inout) :: force_sum(3, n_atoms), strain_sum(3, 3)
         real(wp) :: fx, fy, fz, own(3), turn(3, 3)
         integer :: j, k
         associate (a => work%around)
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
      end subroutine add_forces

      !> How far the descriptors of the n atoms `at` are outside the range of the training set
      subroutine compare_with_range(t, n_f, n, n_q, at, raw)
         integer, intent(in) :: t, n_f, n, n_q, at(n)
         real(wp), intent(in) :: raw(n_q, n_f)
         real(wp) :: worst(n), over
         integer :: which(n), q, f
         worst = -huge(worst)
         which = 1
         do f = 1, n_f
            do q = 1, n
               over = max(potential%feature_low(f, t) - raw(q, f), raw(q, f) - potential%feature_high(f, t)) &
                  *potential%feature_unit(f, t)
               which(q) = merge(f, which(q), over > worst(q))
               worst(q) = max(worst(q), over)
            end do
         end do
         excess(at) = worst
         component(at) = which
      end subroutine compare_with_range

   end subroutine evaluate_structure

end module tf_potential
