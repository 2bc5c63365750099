!> Energies, forces and virial of structures from a potential, or from all members of a committee at once.
module tf_potential
   use tf_kinds, only : wp, padded, i8
   use tf_error, only : error_type, raise, check_memory, error_size
   use tf_descriptor, only : descriptor_type, describe_surroundings, descriptor_gradient
   use tf_network, only : network_type, forward, backward_to_inputs
   use tf_centres, only : centres_type
   use tf_surroundings, only : surroundings_type
   use tf_workspace, only : workspace_type, reserve, block_atoms, atoms_per_look
   use tf_stop, only : stop_type, must_stop
!$ use omp_lib, only : omp_get_thread_num
   implicit none
   private
   public :: potential_type, new_potential, evaluation_type, evaluate_potential, n_virial

   ! Blocks are joined to at most this many chunks with a force array each
   integer, parameter :: max_chunks = 16
   !> Numbers of an atom's virial: xx, yy, zz, xy, xz, yz, yx, zx, zy
   integer, parameter :: n_virial = 9

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

   !> What is wanted of a structure: views of the caller's arrays, not associated where something is not wanted.
   !> n_atoms counts all atoms on which forces act
   type :: evaluation_type
      !> (n_atoms, n_members) eV, atomic reference energy included
      real(wp), pointer, contiguous :: atomic_energy(:, :) => null()
      !> (3, n_atoms, n_members) F = -dE/dR, eV/Å
      real(wp), pointer, contiguous :: force(:, :, :) => null()
      !> (3, 3, n_members) dE/dε = Σ_i Σ_j r_ij ⊗ ∂E_i/∂r_ij, eV; stress is strain/volume.  Needs force
      real(wp), pointer, contiguous :: strain(:, :, :) => null()
      !> (n_virial, n_atoms) -Σ_i r_ij ⊗ ∂E_i/∂r_ij of atom j, mean over the members, eV.  Needs force
      real(wp), pointer, contiguous :: virial(:, :) => null()
      !> (n_feature_most, n_atoms) descriptors standardised as the first member does
      real(wp), pointer, contiguous :: values(:, :) => null()
      !> (n_atoms) how far a descriptor is outside the range of the training set, in σ (negative: inside), and
      !> which of its values, from 1, that is
      real(wp), pointer, contiguous :: excess(:) => null()
      integer, pointer, contiguous :: component(:) => null()
   end type evaluation_type

   !> Blocks of atoms of one species, in a fixed order
   type :: blocks_type
      integer :: n = 0
      !> (n_centres) atoms, species after species
      integer, allocatable :: atom(:)
      !> (n + 1) place in `atom` where each block starts; (n) its species
      integer, allocatable :: first(:), species(:)
   end type blocks_type

contains

   !> Check that the parts of a potential belong together
   subroutine new_potential(potential, error)
      !> Descriptors, networks, weights and the tables of features and energies are set
      type(potential_type), intent(inout) :: potential
      type(error_type), allocatable, intent(inout) :: error
      integer :: n_species, n_networks, s

      n_species = size(potential%descriptors)
      n_networks = size(potential%networks)
      if (n_networks < n_species .or. mod(n_networks, max(n_species, 1)) /= 0 .or. &
         size(potential%weights) /= sum(potential%networks%n_weights) .or. size(potential%energy_scale) /= n_networks .or. &
         size(potential%energy_shift) /= n_networks .or. size(potential%energy_atomic) /= n_networks .or. &
         size(potential%feature_shift, 2) /= n_networks .or. &
         any(shape(potential%feature_factor) /= shape(potential%feature_shift))) then
         call raise(error, error_size, "arrays of the potential do not match the number of species")
         return
      end if
      if (any(potential%descriptors%n_feature > size(potential%feature_shift, 1))) then
         call raise(error, error_size, "the standardisation does not cover the descriptor")
         return
      end if

      do s = 1, n_networks
         if (potential%networks(s)%n_nodes(1) /= potential%descriptors(mod(s - 1, n_species) + 1)%n_feature) then
           call raise(error, error_size, "a network does not have as many inputs as its descriptor has values")
         end if
      end do
      potential%n_members = n_networks/n_species
      potential%cutoff = maxval(potential%descriptors%cutoff)
   end subroutine new_potential

   !> Energies of the centres, forces, strain derivative, and whatever else `wanted` asks for
   subroutine evaluate_potential(potential, centres, spaces, wanted, stop, error, one_chunk)
      type(potential_type), intent(in) :: potential
      !> Atoms, and their neighbours within the cutoff or beyond
      class(centres_type), intent(in) :: centres
      !> Scratch of each thread to be used
      type(workspace_type), intent(inout) :: spaces(:)
      !> Its arrays are set for the atoms that are centres, or that forces act on
      type(evaluation_type), intent(in) :: wanted
      type(stop_type), intent(inout) :: stop
      type(error_type), allocatable, intent(inout) :: error
      !> Sum the forces in one go: faster for one thread, but then the last bits depend on the number of threads
      logical, intent(in), optional :: one_chunk
      real(wp), allocatable :: force_part(:, :, :, :), strain_part(:, :, :, :), virial_part(:, :, :)
      type(blocks_type) :: blocks
      type(error_type), allocatable :: error_here
      integer :: n_chunks, n_threads, n_columns, n, n_virials, me, c, status
      logical :: with_forces

      with_forces = associated(wanted%force)
      wanted%atomic_energy = 0.0_wp
      if (with_forces) wanted%strain = 0.0_wp
      call sort_into_blocks(centres, size(potential%descriptors), blocks, error)
      if (allocated(error)) return
      n_chunks = min(blocks%n, max_chunks)
      if (present(one_chunk)) n_chunks = merge(min(1, n_chunks), n_chunks, one_chunk)
      n = merge(centres%n_atoms, 0, with_forces)
      n_virials = merge(centres%n_atoms, 0, associated(wanted%virial))
      allocate (force_part(3, n, potential%n_members, n_chunks), strain_part(3, 3, potential%n_members, n_chunks), &
         virial_part(n_virial, n_virials, n_chunks), stat=status)
      call check_memory(status, "the forces of parts of the atoms", 8_i8*n_chunks*((3_i8*n + 9)*potential%n_members &
         + int(n_virial, i8)*n_virials), error)
      if (allocated(error)) return

      n_threads = size(spaces)
      n_columns = maxval(potential%networks%n_columns)
      !$omp parallel num_threads(n_threads) if(n_threads > 1) default(shared) private(me, error_here)
      me = 1
      !$ me = me + omp_get_thread_num()
      if (n_threads == 1) me = 1
      call reserve(spaces(me), potential%descriptors, centres%n_most, &
         merge(max(1, min(block_atoms, size(centres%atom))), 1, with_forces), 0, size(potential%feature_shift, 1), n_columns, &
         error_here)
      if (allocated(error_here)) then
         !$omp critical (tf_evaluate_error)
         if (.not. allocated(error)) error = error_here
         !$omp end critical (tf_evaluate_error)
      end if
      !$omp do schedule(dynamic)
      do c = 1, n_chunks
         if (allocated(error_here)) cycle
         call evaluate_chunk(potential, centres, blocks, c, n_chunks, me == 1, stop, wanted, spaces(me), &
            force_part(:, :, :, c), strain_part(:, :, :, c), virial_part(:, :, c), error_here)
         if (allocated(error_here)) then
            !$omp critical (tf_evaluate_error)
            if (.not. allocated(error)) error = error_here
            !$omp end critical (tf_evaluate_error)
         end if
      end do
      !$omp end do
      if (with_forces) call add_parts(n_chunks, 3*n*potential%n_members, force_part, wanted%force)
      if (n_virials > 0) call add_parts(n_chunks, n_virial*n, virial_part, wanted%virial)
      !$omp end parallel
      if (allocated(error) .or. .not. with_forces) return

      do c = 1, n_chunks
         wanted%strain = wanted%strain + strain_part(:, :, :, c)
      end do
      if (n_virials > 0) wanted%virial = wanted%virial/potential%n_members
   end subroutine evaluate_potential

   !> Cut the centres of each species into blocks, in a fixed order
   subroutine sort_into_blocks(centres, n_species, blocks, error)
      class(centres_type), intent(in) :: centres
      integer, intent(in) :: n_species
      type(blocks_type), intent(out) :: blocks
      type(error_type), allocatable, intent(inout) :: error
      integer :: t, i, k, before, n, status

      n = size(centres%atom)
      allocate (blocks%atom(n), blocks%first(n + 1), blocks%species(n), stat=status)
      call check_memory(status, "blocks of atoms", 12_i8*n, error)
      if (allocated(error)) return
      k = 0
      do t = 1, n_species
         before = k
         do i = 1, n
            if (centres%species(i) /= t) cycle
            if (mod(k - before, block_atoms) == 0) then
               blocks%n = blocks%n + 1
               blocks%first(blocks%n) = k + 1
               blocks%species(blocks%n) = t
            end if
            k = k + 1
            blocks%atom(k) = centres%atom(i)
         end do
      end do
      blocks%first(blocks%n + 1) = k + 1
   end subroutine sort_into_blocks

   !> total(i) = Σ_c part(i,c) in the order of c; called by all threads
   subroutine add_parts(n_chunks, n, part, total)
      !> Parts, and numbers of each
      integer, intent(in) :: n_chunks, n
      real(wp), intent(in) :: part(n, n_chunks)
      real(wp), intent(inout) :: total(n)
      integer :: i, c

      if (n_chunks == 0) then
         !$omp single
         total = 0.0_wp
         !$omp end single
         return
      end if
      !$omp do schedule(static)
      do i = 1, n
         total(i) = part(i, 1)
         do c = 2, n_chunks
            total(i) = total(i) + part(i, c)
         end do
      end do
      !$omp end do
   end subroutine add_parts

   !> The blocks of one chunk
   subroutine evaluate_chunk(potential, centres, blocks, c, n_chunks, look, stop, wanted, space, force_sum, strain_sum, &
         virial_sum, error)
      type(potential_type), intent(in) :: potential
      class(centres_type), intent(in) :: centres
      type(blocks_type), intent(in) :: blocks
      !> Number of the chunk, and of all
      integer, intent(in) :: c, n_chunks
      !> Is this the thread that may look for a wish to stop?
      logical, intent(in) :: look
      !> Shared by the threads
      type(stop_type), intent(inout) :: stop
      type(evaluation_type), intent(in) :: wanted
      type(workspace_type), intent(inout) :: space
      !> As in `evaluation_type`, of size 0 where not wanted
      real(wp), intent(out), contiguous :: force_sum(:, :, :), strain_sum(:, :, :), virial_sum(:, :)
      type(error_type), allocatable, intent(inout) :: error
      integer :: b, t, n, n_columns

      force_sum = 0.0_wp
      strain_sum = 0.0_wp
      virial_sum = 0.0_wp
      do b = 1 + (c - 1)*blocks%n/n_chunks, c*blocks%n/n_chunks
         if (must_stop(stop, look .and. mod(b, atoms_per_look/block_atoms) == 0)) return
         t = blocks%species(b)
         n = blocks%first(b + 1) - blocks%first(b)
         n_columns = maxval(potential%networks(t::size(potential%descriptors))%n_columns)
         call evaluate_block(potential, centres, t, n, padded(n), potential%descriptors(t)%n_feature, n_columns, &
            blocks%atom(blocks%first(b):blocks%first(b + 1) - 1), wanted, space, space%g, space%raw, space%panel, &
            space%value, space%slope, space%derivative, force_sum, strain_sum, virial_sum, error)
         if (allocated(error)) return
      end do
   end subroutine evaluate_chunk

   !> One block: descriptors, then for each member the networks and the forces
   subroutine evaluate_block(potential, centres, t, n, n_q, n_f, n_columns, atom, wanted, space, g, raw, panel, value, slope, &
         derivative, force_sum, strain_sum, virial_sum, error)
      type(potential_type), intent(in) :: potential
      class(centres_type), intent(in) :: centres
      !> Species, atoms, their padded number, values of the descriptor, columns of network scratch
      integer, intent(in) :: t, n, n_q, n_f, n_columns
      integer, intent(in) :: atom(n)
      type(evaluation_type), intent(in) :: wanted
      !> Scratch of the descriptors
      type(workspace_type), intent(inout) :: space
      !> Scratch: a descriptor; descriptors, raw and standardised; values and slopes of the networks; dE/dG
      real(wp), intent(inout) :: g(n_f), raw(n_q, n_f), panel(n_q, n_f), value(n_q, n_columns), slope(n_q, n_columns), &
         derivative(n_q, n_f)
      !> As in `evaluate_chunk`
      real(wp), intent(inout), contiguous :: force_sum(:, :, :), strain_sum(:, :, :), virial_sum(:, :)
      type(error_type), allocatable, intent(inout) :: error
      integer :: q, m, s, f
      logical :: with_forces

      with_forces = associated(wanted%force)
      raw(n + 1:, :) = 0.0_wp
      do q = 1, n
         associate (work => space%work(merge(q, 1, with_forces)))
            call centres%gather(atom(q), work%around, error)
            if (allocated(error)) return
            call describe_surroundings(potential%descriptors(t), with_forces, work, space%scratch, g)
         end associate
         raw(q, :) = g
      end do
      if (associated(wanted%excess)) call compare_with_range(potential, t, n_f, n, n_q, atom, raw, wanted)

      do m = 1, potential%n_members
         s = t + (m - 1)*size(potential%descriptors)
         associate (net => potential%networks(s))
            do f = 1, n_f
               panel(:, f) = (raw(:, f) - potential%feature_shift(f, s))*potential%feature_factor(f, s)
            end do
            if (associated(wanted%values) .and. m == 1) then
               do q = 1, n
                  wanted%values(:n_f, atom(q)) = panel(q, :)
               end do
            end if
            call forward(net, n_q, panel, potential%weights(net%first_weight:), value, slope)
            do q = 1, n
               wanted%atomic_energy(atom(q), m) = value(q, net%n_columns)/potential%energy_scale(s) &
                  + potential%energy_shift(s) + potential%energy_atomic(s)
            end do
            if (.not. with_forces) cycle
            call backward_to_inputs(net, n_q, potential%weights(net%first_weight:), slope, derivative)
         end associate
         do q = 1, n
            g = derivative(q, :)*potential%feature_factor(:n_f, s)/potential%energy_scale(s)
            call descriptor_gradient(potential%descriptors, t, g, space%work(q), space%scratch)
            call add_forces(atom(q), centres%n_atoms, space%work(q)%around, force_sum(:, :, m), strain_sum(:, :, m))
            if (associated(wanted%virial)) call add_virials(space%work(q)%around, virial_sum)
         end do
      end do
   end subroutine evaluate_block

   !> Forces and strain derivative of the energy of atom i from its derivatives with respect to the neighbours
   subroutine add_forces(i, n_atoms, around, force_sum, strain_sum)
      !> Atom, and all on which forces act
      integer, intent(in) :: i, n_atoms
      type(surroundings_type), intent(in) :: around
      real(wp), intent(inout) :: force_sum(3, n_atoms), strain_sum(3, 3)
      real(wp) :: fx, fy, fz, own(3), turn(3, 3)
      integer :: j, k

      own = 0.0_wp
      turn = 0.0_wp
      do k = 1, around%n
         j = around%atom(k)
         fx = around%gx(k)
         fy = around%gy(k)
         fz = around%gz(k)
         own(1) = own(1) + fx
         own(2) = own(2) + fy
         own(3) = own(3) + fz
         force_sum(1, j) = force_sum(1, j) - fx
         force_sum(2, j) = force_sum(2, j) - fy
         force_sum(3, j) = force_sum(3, j) - fz
         turn(1, 1) = turn(1, 1) + around%x(k)*fx
         turn(2, 1) = turn(2, 1) + around%y(k)*fx
         turn(3, 1) = turn(3, 1) + around%z(k)*fx
         turn(1, 2) = turn(1, 2) + around%x(k)*fy
         turn(2, 2) = turn(2, 2) + around%y(k)*fy
         turn(3, 2) = turn(3, 2) + around%z(k)*fy
         turn(1, 3) = turn(1, 3) + around%x(k)*fz
         turn(2, 3) = turn(2, 3) + around%y(k)*fz
         turn(3, 3) = turn(3, 3) + around%z(k)*fz
      end do
      force_sum(:, i) = force_sum(:, i) + own
      strain_sum = strain_sum + turn
   end subroutine add_forces

   !> Each neighbour's share of the virial of one centre: with it the heat current of many-body potentials is
   !> Σ_j W_j v_j (Z. Fan et al., Phys. Rev. B 92, 094301 (2015))
   subroutine add_virials(around, virial_sum)
      type(surroundings_type), intent(in) :: around
      !> (n_virial, n_atoms)
      real(wp), intent(inout), contiguous :: virial_sum(:, :)
      integer :: j, k

      do k = 1, around%n
         j = around%atom(k)
         virial_sum(1, j) = virial_sum(1, j) - around%x(k)*around%gx(k)
         virial_sum(2, j) = virial_sum(2, j) - around%y(k)*around%gy(k)
         virial_sum(3, j) = virial_sum(3, j) - around%z(k)*around%gz(k)
         virial_sum(4, j) = virial_sum(4, j) - around%x(k)*around%gy(k)
         virial_sum(5, j) = virial_sum(5, j) - around%x(k)*around%gz(k)
         virial_sum(6, j) = virial_sum(6, j) - around%y(k)*around%gz(k)
         virial_sum(7, j) = virial_sum(7, j) - around%y(k)*around%gx(k)
         virial_sum(8, j) = virial_sum(8, j) - around%z(k)*around%gx(k)
         virial_sum(9, j) = virial_sum(9, j) - around%z(k)*around%gy(k)
      end do
   end subroutine add_virials

   !> How far the descriptors of the n atoms `atom` are outside the range of the training set
   subroutine compare_with_range(potential, t, n_f, n, n_q, atom, raw, wanted)
      type(potential_type), intent(in) :: potential
      !> Species, values of the descriptor, atoms and their padded number
      integer, intent(in) :: t, n_f, n, n_q
      integer, intent(in) :: atom(n)
      real(wp), intent(in) :: raw(n_q, n_f)
      !> Its excess and component are set
      type(evaluation_type), intent(in) :: wanted
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
      wanted%excess(atom) = worst
      wanted%component(atom) = which
   end subroutine compare_with_range

end module tf_potential
