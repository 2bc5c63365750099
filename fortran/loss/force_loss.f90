!> Loss of energies, forces and directional derivatives over a packed data set, and its weight gradient.
!>
!> L = ½ Σ_s w_s (f_s ΔE_s)² + ½ Σ_j ω_j |F_j - F_ref,j|² + ½ Σ_v γ_v (D_v E - D_v E_ref)²
!>
!> The first two sums are eq. 6 of Cooper, Kästner, Urban, Artrith (2020) with the force errors squared one by one.
!> D_v E is the derivative of a structure's energy along a direction v (a displacement of its atoms or a strain).
!> The cost is linear in the number of atoms: residual forces, and residual derivatives along the directions, are
!> carried to the descriptors and on through one tangent pass of the networks (tf_network_tangent), however many
!> directions there are.  Blocks and sums as in tf_energy_loss.
module tf_force_loss
   use tf_kinds, only : wp, rp => wp, i8, lanes
   use tf_stop, only : stop_type
   use tf_tree_sum, only : leaf_task_type, nodes_type, sum_leaves, useful_threads
   use tf_dense, only : combine_columns, project_on_columns
   use tf_error, only : error_type, check_memory
   use tf_network, only : network_type
   use tf_network_passes, only : forward, backward_to_weights
   use tf_network_tangent, only : backward_twice, forward_tangent, backward_tangent
   use tf_force_map_passes, only : take_coefficients, give_changes, add_forces, add_changes
   use tf_force_terms, only : force_terms_type
   use tf_pack, only : pack_type, loss_type, network_scratch, view_features, as_panels
   use tf_energy_loss, only : add_energy_terms, spread_dloss, double_numbers
   implicit none
   private
   public :: evaluate_force_loss, force_scratch, force_threads

   ! Work on an atom in units of energy training alone, for the number of threads
   integer, parameter :: work_per_atom = 6

   type, extends(leaf_task_type) :: force_task_type
      logical :: with_gradient = .false.
      !> (n_leaves) of the pack
      integer, allocatable :: blocks(:)
      type(loss_type), pointer :: loss => null()
      type(force_terms_type), pointer :: terms => null()
      real(rp), allocatable :: weights(:)
      !> Results
      real(wp), pointer, contiguous :: energy(:) => null(), dloss_denergy(:) => null(), force(:, :) => null(), &
         derivative(:) => null()
      !> Parts of the scratch: (n_species + 1) columns of the networks, of which there are n_sets, and panels of
      !> features, two sets; then a seed for each atom of the widest panel
      integer(i8), allocatable :: columns(:), panels(:)
      !> Parts of the scratch of a structure's forces, behind the seeds: coefficients of pairs and groups, parities and
      !> columns of the grid, derivatives of one species, and forces
      integer(i8) :: map_part(7) = 0_i8
      integer :: n_feature_most = 0
   contains
      procedure :: add_leaf => add_block
   end type force_task_type

   ! Sets of columns; curvatures stand where the changes of the arguments come later
   integer, parameter :: set_value = 0, set_slope = 1, set_change = 2, set_bend = 3, set_z_dot = 4, set_value_dot = 5, &
      set_work = 6, n_sets = 7

contains

   !> Energies, forces and directional derivatives; the weight gradient, if wanted, and behind it the loss, as sums over
   !> the blocks of the pack
   subroutine evaluate_force_loss(loss, terms, weights, with_gradient, n_threads, energy, force, derivative, nodes, stop, &
         error, blocks, first_leaf)
      type(loss_type), intent(in), target :: loss
      type(force_terms_type), intent(in), target :: terms
      !> (n_weights) of all networks
      real(wp), intent(in) :: weights(:)
      logical, intent(in) :: with_gradient
      integer, intent(in) :: n_threads
      !> (n_structures)
      real(wp), intent(out), contiguous, target :: energy(:)
      !> (3, n_atoms) with a map, else (3, 0).  With gradient, forces of structures without force weight are left out (0)
      real(wp), intent(out), contiguous, target :: force(:, :)
      !> (n_directions)
      real(wp), intent(out), contiguous, target :: derivative(:)
      type(nodes_type), intent(out) :: nodes
      type(stop_type), intent(inout) :: stop
      type(error_type), allocatable, intent(inout) :: error
      !> Blocks that count, from 1, and the number of the first among those of all processes, from 0; not there: all.
      !> Energies, forces and derivatives of the others are not set
      integer, intent(in), optional :: blocks(:)
      integer(i8), intent(in), optional :: first_leaf
      type(force_task_type) :: task
      real(wp), allocatable, target :: dloss_denergy(:)
      integer :: t, n, status
      integer(i8) :: most

      allocate (dloss_denergy(loss%pack%n_structures), stat=status)
      call check_memory(status, "the derivatives of the loss", 8_i8*loss%pack%n_structures, error)
      if (allocated(error)) return
      associate (pack => loss%pack, networks => loss%networks)
      n = pack%n_blocks
      if (present(blocks)) n = size(blocks)
      allocate (task%blocks(n), stat=status)
      call check_memory(status, "the blocks of a loss", 4_i8*n, error)
      if (allocated(error)) return
      if (present(blocks)) then
         task%blocks = blocks
      else
         task%blocks = [(t, t=1, n)]
         force = 0.0_wp
         derivative = 0.0_wp
      end if
      task%n_leaves = n
      task%first_leaf = pack%first_leaf
      if (present(first_leaf)) task%first_leaf = first_leaf
      task%n_numbers = merge(loss%n_weights, 0, with_gradient) + 1
      task%n_threads = force_threads(pack%panel_width(:, task%blocks), n_threads)
      task%with_gradient = with_gradient
      task%loss => loss
      task%terms => terms
      task%energy => energy
      task%force => force
      task%derivative => derivative
      task%dloss_denergy => dloss_denergy

      allocate (task%columns(pack%n_species + 1), task%panels(pack%n_species + 1), source=0_i8, stat=status)
      call check_memory(status, "the scratch of a loss", 16_i8*(pack%n_species + 1), error)
      allocate (task%weights(size(weights)), stat=status)
      call check_memory(status, "the scratch of a loss", 8_i8*size(weights), error)
      if (allocated(error)) return
      task%weights = real(weights, rp)
      do t = 1, pack%n_species
         n = 0
         if (pack%n_blocks > 0) n = maxval(pack%panel_width(t, :))
         task%columns(t + 1) = task%columns(t) + int(n, i8)*networks(t)%n_columns
         task%panels(t + 1) = task%panels(t) + int(n, i8)*networks(t)%n_nodes(1)
      end do
      task%map_part = whole_lines(force_scratch(pack%panel_width, networks))
      if (terms%with_forces .and. pack%n_structures > 0) then
         task%n_feature_most = size(terms%feature_factor, 1)
         most = maxval(terms%map%first_atom(2:) - terms%map%first_atom(:pack%n_structures))
         associate (grid => terms%map%grid, part => task%map_part)
         part(2) = part(1) + whole_lines(most*terms%map%n_points*pack%n_species)
         part(3) = part(2) + whole_lines(most*terms%map%n_group*pack%n_species)
         part(4) = part(3) + whole_lines(most*4*grid%n_half)
         part(5) = part(4) + whole_lines(most*grid%n_columns)
         part(6) = part(5) + whole_lines(most*task%n_feature_most)
         part(7) = part(6) + whole_lines(most*4)
         end associate
      end if
      task%n_scratch = task%map_part(7)
      call sum_leaves(task, nodes, stop, error)
      end associate
   end subroutine evaluate_force_loss

   !> Numbers of scratch of a thread, in double precision, without what the forces of a structure take
   pure integer(i8) function force_scratch(panel_width, networks)
      !> (n_species, n_blocks) of a pack
      integer, intent(in) :: panel_width(:, :)
      type(network_type), intent(in) :: networks(:)

      force_scratch = double_numbers(network_scratch(panel_width, networks, n_sets, 2))
   end function force_scratch

   !> Threads that are used
   pure integer function force_threads(panel_width, n_threads)
      !> (n_species, n_blocks) of a pack; at most so many
      integer, intent(in) :: panel_width(:, :), n_threads

      force_threads = useful_threads(work_per_atom*sum(int(panel_width, i8)), n_threads)
   end function force_threads

   !> So many numbers that the next ones start a cache line
   pure integer(i8) function whole_lines(n)
      integer(i8), intent(in) :: n

      whole_lines = ((n + lanes - 1)/lanes)*lanes
   end function whole_lines

   !> One block
   subroutine add_block(task, leaf, thread, scratch, sums, error)
      class(force_task_type), intent(in) :: task
      !> Number among the blocks that count
      integer, intent(in) :: leaf
      integer, intent(in) :: thread
      !> Of this thread
      real(wp), intent(inout), contiguous, target :: scratch(:)
      real(wp), intent(inout), contiguous :: sums(:)
      type(error_type), allocatable, intent(inout) :: error
      real(rp), pointer, contiguous :: numbers(:), x(:)
      integer :: t, s, n_q, first, last, m
      integer(i8) :: q, panels, changes, seed
      logical :: has_tangent

      associate (pack => task%loss%pack, networks => task%loss%networks, b => task%blocks(leaf), loss => sums(task%n_numbers))
      call as_panels(scratch, numbers)
      m = pack%n_species
      first = pack%block_first(b) + 1
      last = pack%block_first(b + 1)
      panels = n_sets*task%columns(m + 1)
      changes = panels + task%panels(m + 1)
      seed = changes + task%panels(m + 1)

      task%energy(first:last) = 0.0_wp
      do t = 1, m
         n_q = pack%panel_width(t, b)
         if (n_q == 0) cycle
         associate (net => networks(t), w => task%weights(networks(t)%first_weight:))
            call view_features(pack, pack%panel_offset(t, b), n_q*net%n_inputs, x)
            call forward(net, n_q, x, w, numbers(at(set_value):), numbers(at(set_slope):), numbers(at(set_z_dot):))
            call backward_twice(net, n_q, w, numbers(at(set_slope):), numbers(at(set_z_dot):), numbers(at(set_change):), &
               numbers(at(set_bend):), numbers(panels + task%panels(t) + 1:))
            q = at(set_value) - 1 + int(n_q, i8)*(net%n_columns - 1)
         end associate
         do s = first, last
            task%energy(s) = task%energy(s) + sum(real(numbers(q + pack%atom_offset(t, s) + 1: &
               q + pack%atom_offset(t, s) + pack%atom_count(t, s)), wp))
         end do
      end do
      call add_energy_terms(task%loss, first, last, .false., task%energy(first:last), loss, task%dloss_denergy(first:last))

      ! Residual forces and derivatives, carried to the descriptors
      numbers(changes + 1:seed) = 0.0_rp
      has_tangent = .false.
      do s = first, last
         call add_structure(task, b, s, numbers(panels + 1:changes), numbers(changes + 1:seed), &
            scratch(task%map_part(1) + 1:), loss, has_tangent)
      end do
      if (.not. task%with_gradient) return

      do t = 1, m
         n_q = pack%panel_width(t, b)
         if (n_q == 0) cycle
         call spread_dloss(pack, b, t, task%dloss_denergy, n_q, numbers(seed + 1:))
         associate (net => networks(t), w => task%weights(networks(t)%first_weight:), &
            x_dot => numbers(changes + task%panels(t) + 1:))
            call view_features(pack, pack%panel_offset(t, b), n_q*net%n_inputs, x)
            if (has_tangent) then
               call forward_tangent(net, n_q, x_dot, w, numbers(at(set_slope):), numbers(at(set_z_dot):), &
                  numbers(at(set_value_dot):))
               call backward_tangent(net, n_q, x, x_dot, w, numbers(seed + 1:), numbers(at(set_value):), &
                  numbers(at(set_slope):), numbers(at(set_change):), numbers(at(set_bend):), numbers(at(set_z_dot):), &
                  numbers(at(set_value_dot):), numbers(at(set_work):), sums(net%first_weight:))
            else
               call backward_to_weights(net, n_q, x, w, numbers(seed + 1:), numbers(at(set_value):), &
                  numbers(at(set_slope):), sums(net%first_weight:))
            end if
         end associate
      end do
      end associate

   contains

      !> Where a set of columns of species t begins
      pure integer(i8) function at(set)
         integer, intent(in) :: set

         at = set*task%columns(m + 1) + task%columns(t) + 1
      end function at

   end subroutine add_block

   !> Forces and directional derivatives of one structure: their share of the loss, and what follows for the descriptors
   subroutine add_structure(task, b, s, g_panels, x_dot_panels, work, loss, has_tangent)
      type(force_task_type), intent(in) :: task
      !> Block and structure
      integer, intent(in) :: b, s
      !> Derivatives of the atomic energies with respect to the standardised descriptors, all panels of the block
      real(rp), intent(in), contiguous :: g_panels(:)
      !> Changes of the standardised descriptors
      real(rp), intent(inout), contiguous :: x_dot_panels(:)
      !> Scratch of forces
      real(wp), intent(inout), contiguous, target :: work(:)
      real(wp), intent(inout) :: loss
      !> Set to true if there are such changes
      logical, intent(inout) :: has_tangent
      real(rp), pointer, contiguous :: numbers(:)
      integer :: first_direction, n_directions, n_atoms
      integer(i8) :: first

      associate (terms => task%terms, part => task%map_part - task%map_part(1))
      if (terms%with_forces) then
         first = terms%map%first_atom(s)
         n_atoms = int(terms%map%first_atom(s + 1) - first)
         if (.not. task%with_gradient .or. any(terms%atom_weight(first + 1:first + n_atoms) > 0.0_wp)) then
            call as_panels(work, numbers)
            call add_structure_forces(task, b, s, n_atoms, g_panels, x_dot_panels, loss, numbers, &
               numbers(size(numbers)/size(work)*part(2) + 1:), work(part(3) + 1:), work(part(4) + 1:), work(part(5) + 1:), &
               work(part(6) + 1:))
            has_tangent = has_tangent .or. task%with_gradient
         end if
      end if
      end associate
      first_direction = task%terms%first_direction(s)
      n_directions = task%terms%first_direction(s + 1) - first_direction
      if (n_directions == 0) return
      call add_directions(task, b, s, first_direction, n_directions, &
         int(task%terms%first_change(s + 1) - task%terms%first_change(s))/n_directions, g_panels, x_dot_panels, loss)
      has_tangent = .true.
   end subroutine add_structure

   !> Of the forces
   subroutine add_structure_forces(task, b, s, n_atoms, g_panels, x_dot_panels, loss, radial, group, parities, columns, g, force)
      type(force_task_type), intent(in) :: task
      !> Block, structure, and atoms of it
      integer, intent(in) :: b, s, n_atoms
      !> As in `add_structure`
      real(rp), intent(in), contiguous :: g_panels(:)
      real(rp), intent(inout), contiguous :: x_dot_panels(:)
      real(wp), intent(inout) :: loss
      !> Scratch
      real(rp), intent(inout) :: radial(task%terms%map%n_points, task%loss%pack%n_species, n_atoms), &
         group(task%terms%map%n_group, task%loss%pack%n_species, n_atoms)
      real(wp), intent(inout) :: parities(4*task%terms%map%grid%n_half*n_atoms), &
         columns(task%terms%map%grid%n_columns*n_atoms), g(task%n_feature_most*n_atoms), force(4, n_atoms)
      integer :: species(n_atoms)
      real(wp) :: difference(3)
      integer :: t, i, n, n_f
      integer(i8) :: first

      associate (pack => task%loss%pack, terms => task%terms)
      first = terms%map%first_atom(s)
      i = 0
      do t = 1, pack%n_species
         n_f = task%loss%networks(t)%n_nodes(1)
         n = pack%atom_count(t, s)
         if (n == 0) cycle
         species(i + 1:i + n) = t
         call take_rows(n, n_f, pack%panel_width(t, b), g_panels(task%panels(t) + pack%atom_offset(t, s) + 1:), &
            terms%feature_factor(:, t), g)
         call take_coefficients(terms%map, t, n, n_f, g, parities, columns, radial(:, :, i + 1:), group(:, :, i + 1:))
         i = i + n
      end do
      call add_forces(terms%map, first, n_atoms, species, radial, group, force)
      task%force(:, first + 1:first + n_atoms) = force(:3, :)
      do i = 1, n_atoms
         difference = force(:3, i) - terms%force_ref(:, first + i)
         loss = loss + 0.5_wp*terms%atom_weight(first + i)*sum(difference**2)
         ! A force is minus a derivative of the energy
         force(:3, i) = -terms%atom_weight(first + i)*difference
         force(4, i) = 0.0_wp
      end do
      if (.not. task%with_gradient) return
      call add_changes(terms%map, first, n_atoms, species, force, radial, group)
      i = 0
      do t = 1, pack%n_species
         n_f = task%loss%networks(t)%n_nodes(1)
         n = pack%atom_count(t, s)
         if (n == 0) cycle
         call give_changes(terms%map, t, n, n_f, radial(:, :, i + 1:), group(:, :, i + 1:), parities, columns, g)
         call add_rows(n, n_f, pack%panel_width(t, b), terms%feature_factor(:, t), g, &
            x_dot_panels(task%panels(t) + pack%atom_offset(t, s) + 1:))
         i = i + n
      end do
      end associate
   end subroutine add_structure_forces

   subroutine add_directions(task, b, s, first_direction, n_directions, n_values, g_panels, x_dot_panels, loss)
      type(force_task_type), intent(in) :: task
      !> Block and structure; its directions and those before
      integer, intent(in) :: b, s, first_direction, n_directions
      !> Descriptor values of the structure
      integer, intent(in) :: n_values
      real(rp), intent(in), contiguous :: g_panels(:)
      real(rp), intent(inout), contiguous :: x_dot_panels(:)
      real(wp), intent(inout) :: loss
      real(rp) :: g(n_values), x_dot(n_values), dloss(n_directions)
      real(wp) :: error
      integer :: t, f, n, at, v
      integer(i8) :: x

      associate (pack => task%loss%pack, terms => task%terms)
      at = 0
      do t = 1, pack%n_species
         n = pack%atom_count(t, s)
         do f = 1, task%loss%networks(t)%n_nodes(1)
            x = task%panels(t) + int(f - 1, i8)*pack%panel_width(t, b) + pack%atom_offset(t, s)
            g(at + 1:at + n) = g_panels(x + 1:x + n)
            at = at + n
         end do
      end do
      call project_on_columns(n_values, n_directions, g, terms%change(terms%first_change(s) + 1:), &
         task%derivative(first_direction + 1:))
      do v = 1, n_directions
         error = task%derivative(first_direction + v) - terms%derivative_ref(first_direction + v)
         loss = loss + 0.5_wp*terms%direction_weight(first_direction + v)*error**2
         dloss(v) = real(terms%direction_weight(first_direction + v)*error, rp)
      end do
      if (.not. task%with_gradient) return
      call combine_columns(n_values, n_directions, dloss, terms%change(terms%first_change(s) + 1:), x_dot)
      at = 0
      do t = 1, pack%n_species
         n = pack%atom_count(t, s)
         do f = 1, task%loss%networks(t)%n_nodes(1)
            x = task%panels(t) + int(f - 1, i8)*pack%panel_width(t, b) + pack%atom_offset(t, s)
            x_dot_panels(x + 1:x + n) = x_dot_panels(x + 1:x + n) + x_dot(at + 1:at + n)
            at = at + n
         end do
      end do
      end associate
   end subroutine add_directions

   !> g_f = factor_f · rows of a panel
   pure subroutine take_rows(n, n_f, n_q, panel, factor, g)
      !> Atoms, values of the descriptor, width of the panel
      integer, intent(in) :: n, n_f, n_q
      !> From the first row on
      real(rp), intent(in) :: panel(n + (n_f - 1)*n_q)
      real(wp), intent(in) :: factor(n_f)
      real(wp), intent(out) :: g(n, n_f)
      integer :: f

      do f = 1, n_f
         g(:, f) = factor(f)*panel((f - 1)*n_q + 1:(f - 1)*n_q + n)
      end do
   end subroutine take_rows

   !> Add factor_f g_f to rows of a panel
   pure subroutine add_rows(n, n_f, n_q, factor, g, panel)
      !> As for `take_rows`
      integer, intent(in) :: n, n_f, n_q
      real(wp), intent(in) :: factor(n_f), g(n, n_f)
      real(rp), intent(inout) :: panel(n + (n_f - 1)*n_q)
      integer :: f

      do f = 1, n_f
         associate (rows => panel((f - 1)*n_q + 1:(f - 1)*n_q + n))
         rows = rows + real(factor(f)*g(:, f), rp)
         end associate
      end do
   end subroutine add_rows

end module tf_force_loss
