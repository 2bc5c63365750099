!> Energy loss and its weight gradient over a packed data set.
!>
!> The pack is a sequence of fixed blocks of whole structures.  In a block the atoms of each species
!> form one panel; a structure's atoms are one contiguous run in it.
module tf_objective
   use tf_kinds, only : wp, i8
   use tf_error, only : error_type, raise, error_size, error_value
   use tf_network, only : network_type, forward, backward_to_weights
   use tf_stop, only : stop_type
   use tf_chunks, only : block_task_type, sum_blocks
   implicit none
   private
   public :: pack_type, view_of_pack, check_pack, check_groups, evaluate_energy_loss, add_energy_terms, spread_pulls

   !> How a packed data set is laid out; the arrays belong to the caller
   type :: pack_type
      integer :: n_species = 0, n_blocks = 0, n_structures = 0
      !> Values in all panels together
      integer(i8) :: n_features = 0
      !> (n_species, n_blocks) panel starts behind this many values
      integer(i8), pointer, contiguous :: panel_offset(:, :) => null()
      !> (n_species, n_blocks) atoms per panel, padded to a multiple of `lanes`
      integer, pointer, contiguous :: panel_width(:, :) => null()
      !> (n_blocks + 1) structures of block b are first(b) + 1 … first(b + 1)
      integer, pointer, contiguous :: block_first(:) => null()
      !> (n_species, n_structures) atoms of a structure stand behind this many atoms of its panel
      integer, pointer, contiguous :: atom_offset(:, :) => null()
      !> (n_species, n_structures) how many they are
      integer, pointer, contiguous :: atom_count(:, :) => null()
   end type pack_type

   type, extends(block_task_type) :: energy_task_type
      type(pack_type) :: pack
      type(network_type), allocatable :: networks(:)
      real(wp), pointer, contiguous :: features(:) => null(), weights(:) => null(), energy_ref(:) => null(), &
         factor(:) => null(), structure_weight(:) => null(), energy(:) => null(), pull(:) => null()
      integer, pointer, contiguous :: group(:) => null()
      !> (n_species + 1) where the columns of each panel start in the scratch
      integer, allocatable :: start(:)
   contains
      procedure :: evaluate => evaluate_block
   end type energy_task_type

contains

   !> View the caller's arrays as a pack of n_features values
   function view_of_pack(n_features, panel_offset, panel_width, block_first, atom_offset, atom_count) result(pack)
      integer(i8), intent(in) :: n_features
      integer(i8), intent(in), target :: panel_offset(:, :)
      integer, intent(in), target :: panel_width(:, :), block_first(:), atom_offset(:, :), atom_count(:, :)
      type(pack_type) :: pack
      pack%n_species = size(panel_offset, 1)
      pack%n_blocks = size(panel_offset, 2)
      pack%n_structures = size(atom_offset, 2)
      pack%n_features = n_features
      pack%panel_offset => panel_offset
      pack%panel_width => panel_width
      pack%block_first => block_first
      pack%atom_offset => atom_offset
      pack%atom_count => atom_count
   end function view_of_pack

   !> Refuse a pack whose index arrays point outside its arrays
   subroutine check_pack(pack, networks, error)
      type(pack_type), intent(in) :: pack
      type(network_type), intent(in) :: networks(:)
      type(error_type), allocatable, intent(inout) :: error
      integer :: b, t, low, high
      if (size(networks) /= pack%n_species) call raise(error, error_size, "one network per species is needed")
      if (size(pack%block_first) /= pack%n_blocks + 1 .or. size(pack%panel_width, 2) /= pack%n_blocks .or. &
         size(pack%panel_width, 1) /= pack%n_species .or. size(pack%atom_offset, 1) /= pack%n_species .or. &
         any(shape(pack%atom_count) /= shape(pack%atom_offset))) &
         call raise(error, error_size, "index arrays of the packed data set do not match")
      if (allocated(error)) return
      associate (first => pack%block_first, n => pack%n_blocks)
         if (first(1) /= 0 .or. first(n + 1) /= pack%n_structures .or. any(first(2:) < first(:n))) &
            call raise(error, error_size, "blocks of the packed data set do not cover its structures in order")
      end associate
      if (allocated(error)) return
      do b = 1, pack%n_blocks
         low = pack%block_first(b) + 1
         high = pack%block_first(b + 1)
         do t = 1, pack%n_species
            ! Differences, because sums of wild numbers overflow
            associate (start => pack%panel_offset(t, b), width => pack%panel_width(t, b), &
               offset => pack%atom_offset(t, low:high), count => pack%atom_count(t, low:high))
               if (start < 0 .or. width < 0 .or. &
                  start > pack%n_features - int(max(width, 0), i8)*networks(t)%n_nodes(1)) &
                  call raise(error, error_size, "a panel of the packed data set reaches beyond its features")
               if (any(offset < 0) .or. any(count < 0) .or. any(offset > width - max(count, 0))) &
                  call raise(error, error_size, "a structure of the packed data set reaches beyond its panel")
            end associate
         end do
         if (allocated(error)) return
      end do
   end subroutine check_pack

   !> Refuse groups that are torn apart by block borders or by other structures
   subroutine check_groups(pack, group, error)
      type(pack_type), intent(in) :: pack
      integer, intent(in) :: group(:)
      type(error_type), allocatable, intent(inout) :: error
      integer :: b, s, last
      last = 0
      do b = 1, pack%n_blocks
         do s = pack%block_first(b) + 1, pack%block_first(b + 1)
            if (group(s) == 0) cycle
            if (group(s) < last .or. (group(s) == last .and. (s == pack%block_first(b) + 1))) then
               call raise(error, error_value, "a group of copies is not in one block")
               return
            end if
            if (group(s) == last) then
               if (group(s - 1) /= last) then
                  call raise(error, error_value, "the copies of a group are not consecutive")
                  return
               end if
            end if
            last = group(s)
         end do
      end do
   end subroutine check_groups

   !> L = ½ Σ_s weight_s r_s² and its gradient, r_s = factor_s (E_ref,s − E_s), E_s the sum of the network
   !> outputs of structure s (ænet: factor = 1/number of atoms; eq. 3 of Cooper et al. 2020: factor = 1).
   !> Structures of one group count with r_s - mean of r over the group instead: what all copies of a parent
   !> have in common, above all the truncation bias of their Taylor energies, drops out.
   subroutine evaluate_energy_loss(pack, features, networks, weights, energy_ref, factor, structure_weight, &
         group, with_gradient, n_threads, energy, loss, gradient, stop)
      type(pack_type), intent(in) :: pack
      !> All panels, one after the other
      real(wp), intent(in), target :: features(pack%n_features)
      type(network_type), intent(in) :: networks(:)
      !> Weights of all networks
      real(wp), intent(in), contiguous, target :: weights(:)
      !> (n_structures) reference energies, in the units of the network outputs
      real(wp), intent(in), contiguous, target :: energy_ref(:)
      !> (n_structures) see above
      real(wp), intent(in), contiguous, target :: factor(:), structure_weight(:)
      !> (n_structures) 0, or the number of the group; the members of a group are consecutive and in one block
      integer, intent(in), contiguous, target :: group(:)
      logical, intent(in) :: with_gradient
      integer, intent(in) :: n_threads
      !> (n_structures) energies of the networks
      real(wp), intent(out), contiguous, target :: energy(:)
      real(wp), intent(out) :: loss
      !> Derivative of the loss with respect to the weights; untouched without gradient
      real(wp), intent(inout) :: gradient(:)
      !> The user pressed Ctrl-C; the results are incomplete
      type(stop_type), intent(inout) :: stop
      type(energy_task_type) :: task
      real(wp), allocatable, target :: pull(:)
      integer :: t, n, widest
      allocate (pull(pack%n_structures))
      task%pull => pull
      task%n_blocks = pack%n_blocks
      task%n_weights = size(weights)
      task%n_atoms = sum(int(pack%panel_width, i8))
      task%with_gradient = with_gradient
      task%pack = pack
      task%features => features
      task%networks = networks
      task%weights => weights
      task%energy_ref => energy_ref
      task%factor => factor
      task%structure_weight => structure_weight
      task%group => group
      task%energy => energy
      ! Scratch: values and slopes of all panels, and a seed for each atom of the widest
      allocate (task%start(pack%n_species + 1))
      task%start(1) = 0
      widest = 0
      do t = 1, pack%n_species
         n = 0
         if (pack%n_blocks > 0) n = maxval(pack%panel_width(t, :))
         widest = max(widest, n)
         task%start(t + 1) = task%start(t) + n*networks(t)%n_columns
      end do
      task%n_scratch = 2*int(task%start(pack%n_species + 1), i8) + widest
      call sum_blocks(task, n_threads, loss, gradient, stop)
   end subroutine evaluate_energy_loss

   !> One block of the energy loss
   subroutine evaluate_block(task, b, scratch, gradient, loss)
      class(energy_task_type), intent(in) :: task
      integer, intent(in) :: b
      real(wp), intent(inout), contiguous :: scratch(:)
      real(wp), intent(inout), contiguous :: gradient(:)
      real(wp), intent(inout) :: loss
      integer :: t, s, q, n_q, first, last, output, slope, seed
      integer(i8) :: x
      associate (pack => task%pack, networks => task%networks)
      first = pack%block_first(b) + 1
      last = pack%block_first(b + 1)
      slope = task%start(pack%n_species + 1)
      seed = 2*slope
      task%energy(first:last) = 0.0_wp
      do t = 1, pack%n_species
         n_q = pack%panel_width(t, b)
         if (n_q == 0) cycle
         x = pack%panel_offset(t, b) + 1
         associate (net => networks(t))
            call forward(net, n_q, task%features(x:), task%weights(net%first_weight:), scratch(task%start(t) + 1:), &
               scratch(slope + task%start(t) + 1:))
            output = task%start(t) + n_q*(net%n_columns - 1)
         end associate
         do s = first, last
            q = output + pack%atom_offset(t, s)
            task%energy(s) = task%energy(s) + sum(scratch(q + 1:q + pack%atom_count(t, s)))
         end do
      end do
      call add_energy_terms(task%factor(first:last), task%structure_weight(first:last), task%group(first:last), &
         task%energy_ref(first:last) - task%energy(first:last), loss, task%pull(first:last))
      if (.not. task%with_gradient) return
      do t = 1, pack%n_species
         n_q = pack%panel_width(t, b)
         if (n_q == 0) cycle
         call spread_pulls(pack, b, t, task%pull, n_q, scratch(seed + 1:))
         x = pack%panel_offset(t, b) + 1
         associate (net => networks(t))
            call backward_to_weights(net, n_q, task%features(x:), task%weights(net%first_weight:), scratch(seed + 1:), &
               scratch(task%start(t) + 1:), scratch(slope + task%start(t) + 1:), gradient(net%first_weight:))
         end associate
      end do
      end associate
   end subroutine evaluate_block

   !> Add the energy errors of some structures to the loss; derivative of the loss with respect to each energy
   pure subroutine add_energy_terms(factor, structure_weight, group, error, loss, pull)
      real(wp), intent(in) :: factor(:), structure_weight(:)
      integer, intent(in) :: group(:)
      !> E_ref - E
      real(wp), intent(in) :: error(:)
      real(wp), intent(inout) :: loss
      real(wp), intent(out) :: pull(:)
      real(wp) :: residual(size(error))
      integer :: s
      residual = factor*error
      call centre_groups(group, residual)
      do s = 1, size(error)
         loss = loss + 0.5_wp*structure_weight(s)*residual(s)**2
         pull(s) = -structure_weight(s)*factor(s)*residual(s)
      end do
   end subroutine add_energy_terms

   !> Each atom of species t in block b gets the pull of its structure, padding none
   pure subroutine spread_pulls(pack, b, t, pull, n_q, seed)
      type(pack_type), intent(in) :: pack
      integer, intent(in) :: b, t
      !> (n_structures)
      real(wp), intent(in) :: pull(:)
      integer, intent(in) :: n_q
      real(wp), intent(out) :: seed(n_q)
      integer :: s, q
      seed = 0.0_wp
      do s = pack%block_first(b) + 1, pack%block_first(b + 1)
         q = pack%atom_offset(t, s)
         seed(q + 1:q + pack%atom_count(t, s)) = pull(s)
      end do
   end subroutine spread_pulls

   !> Subtract from the residuals of each group their mean.  The mean needs no term of its own in the
   !> gradient: the centred residuals of a group sum to zero (weight and factor are the same within it).
   pure subroutine centre_groups(group, residual)
      integer, intent(in) :: group(:)
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

end module tf_objective
