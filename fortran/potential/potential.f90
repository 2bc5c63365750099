!> Energies, forces and virial of structures from a potential, or from all members of a committee at once.
module tf_potential
   use tf_kinds, only : wp, padded, i8
   use tf_error, only : error_type, raise, check_memory, error_size
   use tf_descriptor, only : descriptor_type, describe_surroundings, descriptor_gradient
   use tf_network, only : network_type
   use tf_network_passes, only : forward, backward_to_inputs
   use tf_centres, only : centres_type
   use tf_surroundings, only : surroundings_type
   use tf_workspace, only : workspace_type, reserve, block_atoms, atoms_at_a_time, atoms_per_look
   use tf_stop, only : stop_type, must_stop
   use tf_tree_sum, only : leaf_task_type, nodes_type, sum_leaves, total_of_nodes
   implicit none
   private
   public :: potential_type, new_potential, evaluation_type, evaluate_potential, n_virial

   ! Blocks are joined to at most so many leaves: each costs as much as adding up the forces on all atoms
   integer, parameter :: max_leaves = 64
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

   !> Leaves of one or more blocks, which contribute forces, strain derivatives and virials, one behind the other
   type, extends(leaf_task_type) :: evaluation_task_type
      type(potential_type), pointer :: potential => null()
      class(centres_type), pointer :: centres => null()
      type(evaluation_type), pointer :: wanted => null()
      type(blocks_type) :: blocks
      !> Scratch of each thread
      type(workspace_type), pointer :: spaces(:) => null()
      type(stop_type), pointer :: stop => null()
      !> Numbers of forces, and of these with strains; blocks of a leaf
      integer :: n_force = 0, n_strain = 0, blocks_per_leaf = 1
   contains
      procedure :: add_leaf => add_blocks
   end type evaluation_task_type

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
      if (any(shape(potential%feature_low) /= [size(potential%feature_shift, 1), n_species]) .or. &
         any(shape(potential%feature_high) /= shape(potential%feature_low)) .or. &
         any(shape(potential%feature_unit) /= shape(potential%feature_low))) then
         call raise(error, error_size, "arrays of the training set's range have the wrong size")
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
   subroutine evaluate_potential(potential, centres, spaces, wanted, stop, error, one_leaf)
      type(potential_type), intent(in), target :: potential
      !> Atoms, and their neighbours within the cutoff or beyond
      class(centres_type), intent(in), target :: centres
      !> Scratch of each thread to be used
      type(workspace_type), intent(inout), target :: spaces(:)
      !> Its arrays are set for the atoms that are centres, or that forces act on
      type(evaluation_type), intent(in), target :: wanted
      type(stop_type), intent(inout), target :: stop
      type(error_type), allocatable, intent(inout) :: error
      !> Sum the forces in one go: faster for one thread, but then the last bits depend on the number of threads
      logical, intent(in), optional :: one_leaf
      type(evaluation_task_type) :: task
      type(nodes_type) :: nodes
      integer :: n

      wanted%atomic_energy = 0.0_wp
      if (associated(wanted%force)) wanted%strain = 0.0_wp
      call sort_into_blocks(centres, size(potential%descriptors), task%blocks, error)
      if (allocated(error)) return
      task%potential => potential
      task%centres => centres
      task%wanted => wanted
      task%spaces => spaces
      task%stop => stop
      task%n_threads = size(spaces)
      if (associated(wanted%force)) then
         task%n_force = size(wanted%force)
         task%n_strain = task%n_force + size(wanted%strain)
      end if
      task%n_numbers = task%n_strain
      if (associated(wanted%virial)) task%n_numbers = task%n_strain + size(wanted%virial, kind=i8)
      task%blocks_per_leaf = (task%blocks%n + max_leaves - 1)/max_leaves
      if (present(one_leaf)) task%blocks_per_leaf = merge(task%blocks%n, task%blocks_per_leaf, one_leaf)
      task%blocks_per_leaf = max(1, task%blocks_per_leaf)
      task%n_leaves = (task%blocks%n + task%blocks_per_leaf - 1)/task%blocks_per_leaf

      if (allocated(spaces(1)%sums)) call move_alloc(spaces(1)%sums, nodes%sums)
      call sum_leaves(task, nodes, stop, error)
      if (allocated(error) .or. .not. associated(wanted%force)) return
      if (nodes%n == 0) then
         wanted%force = 0.0_wp
         if (associated(wanted%virial)) wanted%virial = 0.0_wp
         return
      end if
      n = centres%n_atoms
      call total_of_nodes(nodes%n, nodes%sums)
      call take_sums(n, potential%n_members, nodes%sums, wanted%force, wanted%strain)
      if (associated(wanted%virial)) call take_virials(n, nodes%sums(task%n_strain + 1:, 1), wanted%virial)
      if (associated(wanted%virial)) wanted%virial = wanted%virial/potential%n_members
      call move_alloc(nodes%sums, spaces(1)%sums)
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

   !> Forces and strain derivatives from the sums of all leaves
   subroutine take_sums(n, n_members, sums, force, strain)
      !> Atoms, members
      integer, intent(in) :: n, n_members
      real(wp), intent(in) :: sums(3*n*n_members + 9*n_members)
      real(wp), intent(out) :: force(3*n*n_members), strain(9*n_members)

      force = sums(:size(force))
      strain = sums(size(force) + 1:)
   end subroutine take_sums

   !> Virials of the atoms
   subroutine take_virials(n, sums, virial)
      integer, intent(in) :: n
      real(wp), intent(in) :: sums(n_virial*n)
      real(wp), intent(out) :: virial(n_virial*n)

      virial = sums
   end subroutine take_virials

   !> The blocks of one leaf
   subroutine add_blocks(task, leaf, thread, scratch, sums, error)
      class(evaluation_task_type), intent(in) :: task
      integer, intent(in) :: leaf, thread
      !> Not used: the thread has its workspace
      real(wp), intent(inout), contiguous, target :: scratch(:)
      real(wp), intent(inout), contiguous :: sums(:)
      type(error_type), allocatable, intent(inout) :: error
      integer :: b, t, k, n, n_columns, n_atoms

      associate (potential => task%potential, blocks => task%blocks, space => task%spaces(thread), &
         with_forces => associated(task%wanted%force))
      n_columns = maxval(potential%networks%n_columns)
      n = merge(max(1, min(maxval(atoms_at_a_time(potential%descriptors)), size(task%centres%atom))), 1, with_forces)
      call reserve(space, potential%descriptors, task%centres%n_most, n, 0, size(potential%feature_shift, 1), n_columns, error)
      n_atoms = merge(task%centres%n_atoms, 0, with_forces)
      do b = 1 + (leaf - 1)*task%blocks_per_leaf, min(leaf*task%blocks_per_leaf, blocks%n)
         if (allocated(error)) return
         if (must_stop(task%stop, thread == 1 .and. mod(b, atoms_per_look/block_atoms) == 0)) return
         t = blocks%species(b)
         n_columns = maxval(potential%networks(t::size(potential%descriptors))%n_columns)
         do k = blocks%first(b), blocks%first(b + 1) - 1, atoms_at_a_time(potential%descriptors(t))
            if (allocated(error)) return
            n = min(atoms_at_a_time(potential%descriptors(t)), blocks%first(b + 1) - k)
            call evaluate_block(potential, task%centres, t, n, padded(n), potential%descriptors(t)%n_feature, n_columns, &
               blocks%atom(k:k + n - 1), n_atoms, task%wanted, space, space%g, space%raw, space%panel, space%value, &
               space%slope, space%derivative, sums(:task%n_force), sums(task%n_force + 1:task%n_strain), &
               sums(task%n_strain + 1:), error)
         end do
      end do
      end associate
   end subroutine add_blocks

   !> One block: descriptors, then for each member the networks and the forces
   subroutine evaluate_block(potential, centres, t, n, n_q, n_f, n_columns, atom, n_atoms, wanted, space, g, raw, panel, &
         value, slope, derivative, force_sum, strain_sum, virial_sum, error)
      type(potential_type), intent(in) :: potential
      class(centres_type), intent(in) :: centres
      !> Species, atoms, their padded number, values of the descriptor, columns of network scratch
      integer, intent(in) :: t, n, n_q, n_f, n_columns
      integer, intent(in) :: atom(n)
      !> Atoms on which forces act; 0: none wanted
      integer, intent(in) :: n_atoms
      type(evaluation_type), intent(in) :: wanted
      !> Scratch of the descriptors
      type(workspace_type), intent(inout) :: space
      !> Scratch: a descriptor; descriptors, raw and standardised; values and slopes of the networks; dE/dG
      real(wp), intent(inout) :: g(n_f), raw(n_q, n_f), panel(n_q, n_f), value(n_q, n_columns), slope(n_q, n_columns), &
         derivative(n_q, n_f)
      !> As in `evaluation_type`, of size 0 where not wanted
      real(wp), intent(inout), contiguous :: force_sum(:), strain_sum(:), virial_sum(:)
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
            call add_forces(atom(q), n_atoms, space%work(q)%around, force_sum(3*n_atoms*(m - 1) + 1:), &
               strain_sum(9*(m - 1) + 1:))
            if (associated(wanted%virial)) call add_virials(n_atoms, space%work(q)%around, virial_sum)
         end do
      end do
   end subroutine evaluate_block

   !> Forces and strain derivative of the energy of atom i from its derivatives with respect to the neighbours
   subroutine add_forces(i, n_atoms, around, force_sum, strain_sum)
      !> Atom, and all on which forces act
      integer, intent(in) :: i, n_atoms
      type(surroundings_type), intent(in) :: around
      real(wp), intent(inout) :: force_sum(3, n_atoms), strain_sum(3, 3)

      call push_neighbours(around%n, around%atom, around%gx, around%gy, around%gz, n_atoms, force_sum)
      associate (n => around%n_padded)
         call add_moments(n, around%x, around%y, around%z, around%gx, force_sum(1, i), strain_sum(:, 1))
         call add_moments(n, around%x, around%y, around%z, around%gy, force_sum(2, i), strain_sum(:, 2))
         call add_moments(n, around%x, around%y, around%z, around%gz, force_sum(3, i), strain_sum(:, 3))
      end associate
   end subroutine add_forces

   !> Subtract the derivatives from the forces on the neighbours: plain arrays, which compilers know to be apart
   pure subroutine push_neighbours(n, atom, gx, gy, gz, n_atoms, force_sum)
      !> Neighbours, and which atoms they are
      integer, intent(in) :: n
      integer, intent(in) :: atom(n)
      !> Derivatives with respect to the vectors to them, eV/Å
      real(wp), intent(in) :: gx(n), gy(n), gz(n)
      integer, intent(in) :: n_atoms
      real(wp), intent(inout) :: force_sum(3, n_atoms)
      integer :: j, k

      do k = 1, n
         j = atom(k)
         force_sum(1, j) = force_sum(1, j) - gx(k)
         force_sum(2, j) = force_sum(2, j) - gy(k)
         force_sum(3, j) = force_sum(3, j) - gz(k)
      end do
   end subroutine push_neighbours

   !> Add Σ g and Σ g (x, y, z)
   pure subroutine add_moments(n, x, y, z, g, total, moment)
      !> Neighbours (padded), vectors to them (Å), and one component of the derivative with respect to each (eV/Å)
      integer, intent(in) :: n
      real(wp), intent(in) :: x(n), y(n), z(n), g(n)
      real(wp), intent(inout) :: total, moment(3)
      real(wp) :: s, s_x, s_y, s_z
      integer :: k

      s = 0.0_wp
      s_x = 0.0_wp
      s_y = 0.0_wp
      s_z = 0.0_wp
      !$omp simd reduction(+:s, s_x, s_y, s_z)
      do k = 1, n
         s = s + g(k)
         s_x = s_x + x(k)*g(k)
         s_y = s_y + y(k)*g(k)
         s_z = s_z + z(k)*g(k)
      end do
      total = total + s
      moment = moment + [s_x, s_y, s_z]
   end subroutine add_moments

   !> Each neighbour's share of the virial of one centre: with it the heat current of many-body potentials is
   !> Σ_j W_j v_j (Z. Fan et al., Phys. Rev. B 92, 094301 (2015))
   subroutine add_virials(n_atoms, around, virial_sum)
      integer, intent(in) :: n_atoms
      type(surroundings_type), intent(in) :: around
      real(wp), intent(inout) :: virial_sum(n_virial, n_atoms)
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
