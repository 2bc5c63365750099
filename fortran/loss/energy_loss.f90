!> Energy loss (see `loss_type`) and its weight gradient over a packed data set.
module tf_energy_loss
   use tf_kinds, only : wp, rp => wp, i8
   use tf_error, only : error_type, check_memory
   use tf_network, only : network_type
   use tf_network_passes, only : forward, backward_to_weights
   use tf_pack, only : pack_type, loss_type, network_scratch, view_features, as_panels
   use tf_stop, only : stop_type
   use tf_tree_sum, only : leaf_task_type, nodes_type, sum_leaves, useful_threads
   implicit none
   private
   public :: evaluate_energy_loss, energy_scratch, energy_threads, add_energy_terms, spread_dloss, double_numbers

   type, extends(leaf_task_type) :: energy_task_type
      type(loss_type), pointer :: loss => null()
      logical :: with_gradient = .false.
      !> Weights of all networks
      real(rp), allocatable :: weights(:)
      !> Results
      real(wp), pointer, contiguous :: energy(:) => null(), dloss_denergy(:) => null()
      !> (n_species + 1) where the columns of each panel start in the scratch
      integer, allocatable :: start(:)
   contains
      procedure :: add_leaf => add_block
   end type energy_task_type

contains

   !> The gradient, if wanted, and behind it the loss: sums over the blocks of the pack
   subroutine evaluate_energy_loss(loss, weights, with_gradient, n_threads, energy, nodes, stop, error)
      type(loss_type), intent(in), target :: loss
      !> Weights of all networks
      real(wp), intent(in) :: weights(:)
      logical, intent(in) :: with_gradient
      integer, intent(in) :: n_threads
      !> (n_structures) energies of the networks
      real(wp), intent(out), contiguous, target :: energy(:)
      type(nodes_type), intent(out) :: nodes
      type(stop_type), intent(inout) :: stop
      type(error_type), allocatable, intent(inout) :: error
      type(energy_task_type) :: task
      real(wp), allocatable, target :: dloss_denergy(:)
      integer :: t, n, status

      allocate (dloss_denergy(loss%pack%n_structures), stat=status)
      call check_memory(status, "the derivatives of the loss", 8_i8*loss%pack%n_structures, error)
      if (allocated(error)) return
      associate (pack => loss%pack, networks => loss%networks)
      task%dloss_denergy => dloss_denergy
      task%n_leaves = pack%n_blocks
      task%first_leaf = pack%first_leaf
      task%n_numbers = merge(loss%n_weights, 0, with_gradient) + 1
      task%n_threads = energy_threads(pack%panel_width, n_threads)
      task%with_gradient = with_gradient
      task%loss => loss
      task%energy => energy

      allocate (task%start(pack%n_species + 1), task%weights(size(weights)), stat=status)
      call check_memory(status, "the scratch of a loss", 4_i8*(pack%n_species + 1) + 8_i8*size(weights), error)
      if (allocated(error)) return
      task%weights = real(weights, rp)
      task%start(1) = 0
      do t = 1, pack%n_species
         n = 0
         if (pack%n_blocks > 0) n = maxval(pack%panel_width(t, :))
         task%start(t + 1) = task%start(t) + n*networks(t)%n_columns
      end do
      task%n_scratch = energy_scratch(pack%panel_width, networks)
      call sum_leaves(task, nodes, stop, error)
      end associate
   end subroutine evaluate_energy_loss

   !> Numbers of scratch of a thread, in double precision: values and slopes of all panels, and of the widest a seed for
   !> each atom
   pure integer(i8) function energy_scratch(panel_width, networks)
      !> (n_species, n_blocks) of a pack
      integer, intent(in) :: panel_width(:, :)
      type(network_type), intent(in) :: networks(:)

      energy_scratch = double_numbers(network_scratch(panel_width, networks, 2, 0))
   end function energy_scratch

   !> So many numbers of double precision have room for n of that of panels
   elemental integer(i8) function double_numbers(n)
      integer(i8), intent(in) :: n

      double_numbers = (n*storage_size(1.0_rp) + storage_size(1.0_wp) - 1)/storage_size(1.0_wp)
   end function double_numbers

   !> Threads that are used
   pure integer function energy_threads(panel_width, n_threads)
      !> (n_species, n_blocks) of a pack; at most so many
      integer, intent(in) :: panel_width(:, :), n_threads

      energy_threads = useful_threads(sum(int(panel_width, i8)), n_threads)
   end function energy_threads

   !> One block of the energy loss
   subroutine add_block(task, leaf, thread, scratch, sums, error)
      class(energy_task_type), intent(in) :: task
      !> Number of the block
      integer, intent(in) :: leaf
      integer, intent(in) :: thread
      !> Of this thread
      real(wp), intent(inout), contiguous, target :: scratch(:)
      real(wp), intent(inout), contiguous :: sums(:)
      type(error_type), allocatable, intent(inout) :: error
      real(rp), pointer, contiguous :: panels(:), x(:)
      integer :: t, s, q, n_q, first, last, output, slope, seed

      associate (pack => task%loss%pack, networks => task%loss%networks, b => leaf)
      call as_panels(scratch, panels)
      first = pack%block_first(b) + 1
      last = pack%block_first(b + 1)
      slope = task%start(pack%n_species + 1)
      seed = 2*slope
      task%energy(first:last) = 0.0_wp
      do t = 1, pack%n_species
         n_q = pack%panel_width(t, b)
         if (n_q == 0) cycle
         associate (net => networks(t))
            call view_features(pack, pack%panel_offset(t, b), n_q*net%n_inputs, x)
            call forward(net, n_q, x, task%weights(net%first_weight:), panels(task%start(t) + 1:), &
               panels(slope + task%start(t) + 1:))
            output = task%start(t) + n_q*(net%n_columns - 1)
         end associate
         do s = first, last
            q = output + pack%atom_offset(t, s)
            task%energy(s) = task%energy(s) + sum(real(panels(q + 1:q + pack%atom_count(t, s)), wp))
         end do
      end do
      call add_energy_terms(task%loss, first, last, .true., task%energy(first:last), sums(task%n_numbers), &
         task%dloss_denergy(first:last))
      if (.not. task%with_gradient) return
      do t = 1, pack%n_species
         n_q = pack%panel_width(t, b)
         if (n_q == 0) cycle
         call spread_dloss(pack, b, t, task%dloss_denergy, n_q, panels(seed + 1:))
         associate (net => networks(t))
            call view_features(pack, pack%panel_offset(t, b), n_q*net%n_inputs, x)
            call backward_to_weights(net, n_q, x, task%weights(net%first_weight:), panels(seed + 1:), &
               panels(task%start(t) + 1:), panels(slope + task%start(t) + 1:), sums(net%first_weight:))
         end associate
      end do
      end associate
   end subroutine add_block

   !> Add the energy errors of structures first … last to the loss; derivative of the loss with respect to each energy
   pure subroutine add_energy_terms(loss, first, last, with_groups, energy, value, dloss_denergy)
      type(loss_type), intent(in) :: loss
      integer, intent(in) :: first, last
      !> Do the errors of a group count without their mean?
      logical, intent(in) :: with_groups
      !> Of the networks
      real(wp), intent(in) :: energy(first:last)
      real(wp), intent(inout) :: value
      real(wp), intent(out) :: dloss_denergy(first:last)
      real(wp) :: residual(first:last)
      integer :: s

      residual = loss%factor(first:last)*(loss%energy_ref(first:last) - energy)
      if (with_groups) call centre_groups(loss%group(first:last), residual)
      do s = first, last
         value = value + 0.5_wp*loss%structure_weight(s)*residual(s)**2
         dloss_denergy(s) = -loss%structure_weight(s)*loss%factor(s)*residual(s)
      end do
   end subroutine add_energy_terms

   !> Each atom of species t in block b gets the derivative of its structure, padding none
   pure subroutine spread_dloss(pack, b, t, dloss_denergy, n_q, seed)
      type(pack_type), intent(in) :: pack
      !> Block and species
      integer, intent(in) :: b, t
      !> (n_structures)
      real(wp), intent(in) :: dloss_denergy(:)
      integer, intent(in) :: n_q
      real(rp), intent(out) :: seed(n_q)
      integer :: s, q

      seed = 0.0_rp
      do s = pack%block_first(b) + 1, pack%block_first(b + 1)
         q = pack%atom_offset(t, s)
         seed(q + 1:q + pack%atom_count(t, s)) = real(dloss_denergy(s), rp)
      end do
   end subroutine spread_dloss

   !> Subtract from the residuals of each group their mean.  The mean needs no term of its own in the
   !> gradient: the centred residuals of a group sum to zero (weight and factor are the same within it).
   pure subroutine centre_groups(group, residual)
      !> (n_structures) see `loss_type`
      integer, intent(in) :: group(:)
      !> (n_structures of a block)
      real(wp), intent(inout) :: residual(:)
      integer :: first, last, n

      n = size(group)
      first = 1
      do while (first <= n)
         last = first
         if (group(first) /= 0) then
            do while (last < n)
               if (group(last + 1) /= group(first)) exit
               last = last + 1
            end do
            residual(first:last) = residual(first:last) - sum(residual(first:last))/(last - first + 1)
         end if
         first = last + 1
      end do
   end subroutine centre_groups

end module tf_energy_loss
