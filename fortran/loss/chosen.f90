!> Energies of chosen structures and their derivatives with respect to the weights.
!>
!> The chosen structures' columns are gathered from the panels of the pack into one small panel per
!> species; the kernels are those of the full loss.  What a structure or a mini-batch gives depends
!> neither on its neighbours in the pack nor on the number of threads.
module tf_chosen
   use tf_kinds, only : wp, i8, padded
   use tf_error, only : error_type, check_memory, keep_first
   use tf_network_passes, only : forward, backward_to_weights
   use tf_pack, only : pack_type, loss_type, copy_features
   use tf_stop, only : stop_type, must_stop
   use tf_tree_sum, only : leaf_task_type, nodes_type, sum_leaves, total_of_nodes
!$ use omp_lib, only : omp_get_thread_num
   implicit none
   private
   public :: panel_type, forward_chosen, backward_chosen, chosen_energies, evaluate_jacobian, batch_gradient, &
      batch_sums

   !> A mini-batch is cut into pieces of at least so many atoms, whose gradients are added in a fixed order
   integer, parameter :: piece_atoms = 256
   !> Columns of a mini-batch, whose rows are its structures: number of the structure, from 1; its atoms; section of the
   !> data set that it is in
   integer, parameter :: col_structure = 1, col_atoms = 2, col_section = 3

   !> Panels of chosen structures, and what the forward pass leaves for the backward pass
   type :: panel_type
      !> (n_species) padded atoms; where descriptors and scratch of a species start (behind so many numbers)
      integer, allocatable :: width(:), x_offset(:), scratch_offset(:)
      real(wp), allocatable :: x(:), value(:), slope(:), seed(:)
   end type panel_type

   !> The pieces of a mini-batch
   type, extends(leaf_task_type) :: batch_task_type
      type(loss_type), pointer :: loss => null()
      real(wp), pointer, contiguous :: weights(:) => null()
      !> Structures of this process
      integer, pointer :: chosen(:) => null()
      !> (n_leaves + 1) pieces, see `cut`
      integer, allocatable :: first(:)
      !> (n_threads)
      type(panel_type), pointer :: panel(:) => null()
   contains
      procedure :: add_leaf => add_piece
   end type batch_task_type

contains

   !> Network energies of chosen structures, from one panel per species that the backward pass needs again
   subroutine forward_chosen(loss, weights, chosen, panel, energy, error)
      type(loss_type), intent(in) :: loss
      !> (n_weights) of all networks
      real(wp), intent(in), contiguous :: weights(:)
      !> Structure numbers, from 1
      integer, intent(in) :: chosen(:)
      !> Reused from call to call, so that small batches do not allocate
      type(panel_type), intent(inout) :: panel
      !> (size(chosen)) in units of the network outputs
      real(wp), intent(out) :: energy(:)
      type(error_type), allocatable, intent(inout) :: error
      integer :: t, k, q, output

      energy = 0.0_wp
      call gather(loss, chosen, panel, error)
      if (allocated(error)) return
      do t = 1, loss%pack%n_species
         if (panel%width(t) == 0) cycle
         associate (net => loss%networks(t), n_q => panel%width(t), s => panel%scratch_offset(t))
            call forward(net, n_q, panel%x(panel%x_offset(t) + 1:), weights(net%first_weight:), &
               panel%value(s + 1:), panel%slope(s + 1:))
            output = s + n_q*(net%n_columns - 1)
         end associate
         do k = 1, size(chosen)
            q = loss%pack%atom_count(t, chosen(k))
            energy(k) = energy(k) + sum(panel%value(output + 1:output + q))
            output = output + q
         end do
      end do
   end subroutine forward_chosen

   !> Add Σ_k factor(k) dE_k/dw of the structures of the last `forward_chosen` to `gradient`
   subroutine backward_chosen(loss, weights, chosen, factor, panel, gradient)
      type(loss_type), intent(in) :: loss
      !> (n_weights) of all networks
      real(wp), intent(in), contiguous :: weights(:)
      !> Structure numbers, from 1
      integer, intent(in) :: chosen(:)
      !> (size(chosen))
      real(wp), intent(in) :: factor(:)
      !> Its slopes are overwritten: one backward pass for each forward pass
      type(panel_type), intent(inout) :: panel
      !> (n_weights)
      real(wp), intent(inout), contiguous :: gradient(:)
      integer :: t, k, q, n

      do t = 1, loss%pack%n_species
         if (panel%width(t) == 0) cycle
         q = 0
         do k = 1, size(chosen)
            n = loss%pack%atom_count(t, chosen(k))
            panel%seed(q + 1:q + n) = factor(k)
            q = q + n
         end do
         panel%seed(q + 1:panel%width(t)) = 0.0_wp
         associate (net => loss%networks(t), n_q => panel%width(t), s => panel%scratch_offset(t))
            call backward_to_weights(net, n_q, panel%x(panel%x_offset(t) + 1:), weights(net%first_weight:), &
               panel%seed, panel%value(s + 1:), panel%slope(s + 1:), gradient(net%first_weight:))
         end associate
      end do
   end subroutine backward_chosen

   !> Network energies of chosen structures
   subroutine chosen_energies(loss, weights, chosen, n_threads, energy, stop, error)
      type(loss_type), intent(in) :: loss
      !> (n_weights) of all networks
      real(wp), intent(in), contiguous :: weights(:)
      !> Structure numbers, from 1
      integer, intent(in) :: chosen(:)
      integer, intent(in) :: n_threads
      !> (size(chosen))
      real(wp), intent(out) :: energy(:)
      !> The result is incomplete if the user stops
      type(stop_type), intent(inout) :: stop
      type(error_type), allocatable, intent(inout) :: error
      type(error_type), allocatable :: error_here
      type(panel_type) :: panel(n_threads)
      integer, allocatable :: first(:), atoms(:)
      integer :: p, i, failed

      allocate (atoms(size(chosen)), stat=i)
      call check_memory(i, "the atoms of a batch", 4_i8*size(chosen), error)
      if (allocated(error)) return
      do p = 1, size(chosen)
         atoms(p) = sum(loss%pack%atom_count(:, chosen(p)))
      end do
      call cut(atoms, first, error)
      if (allocated(error)) return
      failed = 0
      !$omp parallel do num_threads(n_threads) if (size(first) > 2) schedule(dynamic) default(shared) private(i, error_here)
      do p = 1, size(first) - 1
         if (must_stop(stop, .true.)) cycle
         i = this_thread()
         call forward_chosen(loss, weights, chosen(first(p):first(p + 1) - 1), panel(i), &
            energy(first(p):first(p + 1) - 1), error_here)
         call keep_first(p, error_here, failed, error)
      end do
      !$omp end parallel do
   end subroutine chosen_energies

   !> Network energies of chosen structures and their derivatives with respect to all weights
   subroutine evaluate_jacobian(loss, weights, chosen, n_threads, energy, jacobian, error)
      type(loss_type), intent(in) :: loss
      !> (n_weights) of all networks
      real(wp), intent(in), contiguous :: weights(:)
      !> Structure numbers, from 1
      integer, intent(in) :: chosen(:)
      integer, intent(in) :: n_threads
      !> (size(chosen))
      real(wp), intent(out) :: energy(:)
      !> (n_weights, size(chosen)) dE_k/dw
      real(wp), intent(out), contiguous :: jacobian(:, :)
      type(error_type), allocatable, intent(inout) :: error
      type(error_type), allocatable :: error_here
      type(panel_type) :: panel(n_threads)
      integer :: k, i, failed

      failed = 0
      !$omp parallel do num_threads(n_threads) if (size(chosen) > 1) schedule(dynamic, 8) default(shared) private(i, error_here)
      do k = 1, size(chosen)
         i = this_thread()
         call forward_chosen(loss, weights, chosen(k:k), panel(i), energy(k:k), error_here)
         jacobian(:, k) = 0.0_wp
         if (.not. allocated(error_here)) call backward_chosen(loss, weights, chosen(k:k), [1.0_wp], panel(i), jacobian(:, k))
         call keep_first(k, error_here, failed, error)
      end do
      !$omp end parallel do
   end subroutine evaluate_jacobian

   !> Gradient of L = ½ Σ_k weight_k (factor_k (E_ref,k − E_k))² over chosen structures
   subroutine batch_gradient(loss, weights, batch, n_threads, gradient, stop, error)
      type(loss_type), intent(in), target :: loss
      !> (n_weights) of all networks
      real(wp), intent(in), contiguous, target :: weights(:)
      !> (n, 3) see `col_structure`; a structure that occurs twice counts twice
      integer, intent(in), target :: batch(:, :)
      integer, intent(in) :: n_threads
      !> (n_weights)
      real(wp), intent(out), contiguous :: gradient(:)
      !> The result is incomplete if the user stops
      type(stop_type), intent(inout) :: stop
      type(error_type), allocatable, intent(inout) :: error
      type(batch_task_type) :: task
      type(panel_type), target :: panel(n_threads)
      type(nodes_type) :: nodes
      real(wp) :: none(0)

      gradient = 0.0_wp
      call new_batch_task(loss, weights, batch, [0, size(batch, 1)], panel, task, error)
      if (allocated(error)) return
      if (task%n_leaves == 1) then
         call task%add_leaf(1, 1, none, gradient, error)
         return
      end if
      call sum_leaves(task, nodes, stop, error)
      if (allocated(error) .or. stop%stopped) return
      call total_of_nodes(nodes%n, nodes%sums)
      gradient = nodes%sums(:size(weights), 1)
   end subroutine batch_gradient

   !> The share of one process of the same gradient, as partial sums
   subroutine batch_sums(loss, weights, batch, here, n_threads, nodes, stop, error)
      !> As for `batch_gradient`
      type(loss_type), intent(in), target :: loss
      real(wp), intent(in), contiguous, target :: weights(:)
      integer, intent(in), target :: batch(:, :)
      !> Rows before those of this process, and its own, which are whole sections
      integer, intent(in) :: here(2)
      integer, intent(in) :: n_threads
      type(nodes_type), intent(out) :: nodes
      type(stop_type), intent(inout) :: stop
      type(error_type), allocatable, intent(inout) :: error
      type(batch_task_type) :: task
      type(panel_type), target :: panel(n_threads)

      call new_batch_task(loss, weights, batch, here, panel, task, error)
      if (.not. allocated(error)) call sum_leaves(task, nodes, stop, error)
   end subroutine batch_sums

   !> The pieces of one process
   subroutine new_batch_task(loss, weights, batch, here, panel, task, error)
      type(loss_type), intent(in), target :: loss
      real(wp), intent(in), contiguous, target :: weights(:)
      integer, intent(in), target :: batch(:, :)
      integer, intent(in) :: here(2)
      !> For each thread
      type(panel_type), intent(in), target :: panel(:)
      type(batch_task_type), intent(out) :: task
      type(error_type), allocatable, intent(inout) :: error

      call cut(batch(:, col_atoms), task%first, error, batch(:, col_section))
      if (allocated(error)) return
      task%first_leaf = count(task%first <= here(1))
      task%n_leaves = count(task%first <= here(1) + here(2)) - int(task%first_leaf)
      task%first = task%first(task%first_leaf + 1:task%first_leaf + task%n_leaves + 1) - here(1)
      task%n_numbers = size(weights)
      task%n_threads = max(1, min(size(panel), task%n_leaves))
      task%loss => loss
      task%weights => weights
      task%chosen => batch(here(1) + 1:here(1) + here(2), col_structure)
      task%panel => panel
   end subroutine new_batch_task

   !> One piece of a mini-batch
   subroutine add_piece(task, leaf, thread, scratch, sums, error)
      class(batch_task_type), intent(in) :: task
      !> Number of the piece
      integer, intent(in) :: leaf
      integer, intent(in) :: thread
      !> Not used: panels grow as they must
      real(wp), intent(inout), contiguous, target :: scratch(:)
      real(wp), intent(inout), contiguous :: sums(:)
      type(error_type), allocatable, intent(inout) :: error
      real(wp) :: energy(task%first(leaf + 1) - task%first(leaf))

      associate (loss => task%loss, piece => task%chosen(task%first(leaf):task%first(leaf + 1) - 1))
         call forward_chosen(loss, task%weights, piece, task%panel(thread), energy, error)
         if (allocated(error)) return
         energy = -loss%structure_weight(piece)*loss%factor(piece)**2*(loss%energy_ref(piece) - energy)
         call backward_chosen(loss, task%weights, piece, energy, task%panel(thread), sums)
      end associate
   end subroutine add_piece

   !> Cut structures into pieces first(p) … first(p + 1) - 1 of at least `piece_atoms` atoms, or to the end of a section
   subroutine cut(n_atoms, first, error, section)
      !> Of each structure
      integer, intent(in) :: n_atoms(:)
      !> (n_pieces + 1)
      integer, allocatable, intent(out) :: first(:)
      type(error_type), allocatable, intent(inout) :: error
      !> Of each structure the number of its section; not there: all in one
      integer, intent(in), optional :: section(:)
      integer, allocatable :: start(:)
      integer :: k, n_pieces, atoms, status

      allocate (start(size(n_atoms) + 1), stat=status)
      call check_memory(status, "the pieces of a batch", 4_i8*size(n_atoms), error)
      if (allocated(error)) return
      n_pieces = 0
      atoms = piece_atoms
      do k = 1, size(n_atoms)
         if (present(section) .and. k > 1) then
            if (section(k) /= section(k - 1)) atoms = piece_atoms
         end if
         if (atoms >= piece_atoms) then
            n_pieces = n_pieces + 1
            start(n_pieces) = k
            atoms = 0
         end if
         atoms = atoms + n_atoms(k)
      end do
      start(n_pieces + 1) = size(n_atoms) + 1
      allocate (first(n_pieces + 1), stat=status)
      call check_memory(status, "the pieces of a batch", 4_i8*n_pieces, error)
      if (status == 0) first = start(:n_pieces + 1)
   end subroutine cut

   !> Copy the chosen structures' descriptors into one panel per species; padding is zero
   subroutine gather(loss, chosen, panel, error)
      type(loss_type), intent(in) :: loss
      !> Structure numbers, from 1
      integer, intent(in) :: chosen(:)
      type(panel_type), intent(inout) :: panel
      type(error_type), allocatable, intent(inout) :: error
      integer :: t, k, s, b, f, n, q, n_x, n_scratch, widest, status
      integer(i8) :: from, row

      if (.not. allocated(panel%width)) then
         associate (n_t => loss%pack%n_species)
            allocate (panel%width(n_t), panel%x_offset(n_t), panel%scratch_offset(n_t), stat=status)
            call check_memory(status, "panels of chosen structures", 12_i8*n_t, error)
         end associate
         if (allocated(error)) return
      end if
      n_x = 0
      n_scratch = 0
      widest = 0
      do t = 1, loss%pack%n_species
         panel%width(t) = padded(sum(loss%pack%atom_count(t, chosen)))
         panel%x_offset(t) = n_x
         panel%scratch_offset(t) = n_scratch
         n_x = n_x + panel%width(t)*loss%networks(t)%n_nodes(1)
         n_scratch = n_scratch + panel%width(t)*loss%networks(t)%n_columns
         widest = max(widest, panel%width(t))
      end do
      call reserve(panel%x, n_x, error)
      call reserve(panel%value, n_scratch, error)
      call reserve(panel%slope, n_scratch, error)
      call reserve(panel%seed, widest, error)
      if (allocated(error)) return
      do t = 1, loss%pack%n_species
         q = panel%x_offset(t)
         do k = 1, size(chosen)
            s = chosen(k)
            n = loss%pack%atom_count(t, s)
            if (n == 0) cycle
            b = block_of(loss%pack, s)
            from = loss%pack%panel_offset(t, b) + loss%pack%atom_offset(t, s)
            do f = 0, loss%networks(t)%n_nodes(1) - 1
               row = from + int(f, i8)*loss%pack%panel_width(t, b)
               call copy_features(loss%pack, row, n, panel%x(q + f*panel%width(t) + 1:))
            end do
            q = q + n
         end do
         n = panel%x_offset(t) + panel%width(t) - q
         do f = 0, loss%networks(t)%n_nodes(1) - 1
            panel%x(q + f*panel%width(t) + 1:q + f*panel%width(t) + n) = 0.0_wp
         end do
      end do
   end subroutine gather

   !> Number of the calling thread, from 1
   integer function this_thread()

      this_thread = 1
      !$ this_thread = omp_get_thread_num() + 1
   end function this_thread

   !> The block that holds structure s, by bisection
   pure integer function block_of(pack, s) result(low)
      type(pack_type), intent(in) :: pack
      !> From 1
      integer, intent(in) :: s
      integer :: high, middle

      low = 1
      high = pack%n_blocks
      do while (low < high)
         middle = (low + high)/2
         if (s > pack%block_first(middle + 1)) then
            low = middle + 1
         else
            high = middle
         end if
      end do
   end function block_of

   !> Make room for n numbers; what was there is lost
   subroutine reserve(array, n, error)
      !> At least n numbers afterwards
      real(wp), allocatable, intent(inout) :: array(:)
      integer, intent(in) :: n
      type(error_type), allocatable, intent(inout) :: error
      integer :: status

      if (allocated(array)) then
         if (size(array) >= n) return
         deallocate (array)
      end if
      allocate (array(n), stat=status)
      call check_memory(status, "panels of chosen structures", 8_i8*n, error)
   end subroutine reserve

end module tf_chosen
