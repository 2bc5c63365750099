!> Energy loss and its weight gradient over a packed data set.
!>
!> The pack is a sequence of fixed blocks of whole structures.  In a block the atoms of each species
!> form one panel; a structure's atoms are one contiguous run in it.  Blocks are joined to a fixed
!> number of chunks whose partial sums are added in fixed order: the result does not depend on the
!> number of threads.
module tf_objective
   use tf_kinds, only : wp, i8
   use tf_error, only : error_type, raise, error_size, error_value
   use tf_network, only : network_type, forward, backward_to_weights
   use tf_signals, only : interrupted
!$ use omp_lib, only : omp_get_thread_num
   implicit none
   private
   public :: pack_type, check_pack, check_groups, evaluate_energy_loss

   integer, parameter :: max_chunks = 128
   ! Waking a thread costs as much as the work on a few hundred atoms
   integer, parameter :: atoms_per_thread = 2000

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

contains

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
         group, with_gradient, n_threads, energy, loss, gradient, stopped)
      type(pack_type), intent(in) :: pack
      !> All panels, one after the other
      real(wp), intent(in) :: features(pack%n_features)
      type(network_type), intent(in) :: networks(:)
      !> Weights of all networks
      real(wp), intent(in), contiguous :: weights(:)
      !> (n_structures) reference energies, in the units of the network outputs
      real(wp), intent(in) :: energy_ref(:)
      !> (n_structures) see above
      real(wp), intent(in) :: factor(:), structure_weight(:)
      !> (n_structures) 0, or the number of the group; the members of a group are consecutive and in one block
      integer, intent(in) :: group(:)
      logical, intent(in) :: with_gradient
      integer, intent(in) :: n_threads
      !> (n_structures) energies of the networks
      real(wp), intent(out) :: energy(:)
      real(wp), intent(out) :: loss
      !> Derivative of the loss with respect to the weights; untouched without gradient
      real(wp), intent(inout) :: gradient(:)
      !> The user pressed Ctrl-C; the results are incomplete
      logical, intent(out) :: stopped
      real(wp), allocatable :: part(:, :), loss_part(:), value(:), slope(:), seed(:), residual(:)
      integer, allocatable :: scratch(:)
      integer :: n_chunks, n_use, c, b, t, n_scratch, widest, thread
      logical :: stop_now

      n_chunks = min(pack%n_blocks, max_chunks)
      allocate (scratch(pack%n_species + 1))
      scratch(1) = 0
      widest = 0
      do t = 1, pack%n_species
         n_scratch = 0
         if (pack%n_blocks > 0) n_scratch = maxval(pack%panel_width(t, :))
         widest = max(widest, n_scratch)
         scratch(t + 1) = scratch(t) + n_scratch*networks(t)%n_columns
      end do
      allocate (loss_part(n_chunks), source=0.0_wp)
      allocate (residual(pack%n_structures))
      allocate (part(merge(size(weights), 0, with_gradient), n_chunks))
      stopped = .false.

      n_use = int(min(int(n_threads, i8), max(1_i8, sum(int(pack%panel_width, i8))/atoms_per_thread)))
      !$omp parallel num_threads(n_use) if(n_use > 1) default(shared) private(c, b, value, slope, seed, thread, stop_now)
      allocate (value(scratch(pack%n_species + 1)), slope(scratch(pack%n_species + 1)), seed(widest))
      thread = 0
      !$ thread = omp_get_thread_num()
      !$omp do schedule(dynamic)
      do c = 1, n_chunks
         !$omp atomic read
         stop_now = stopped
         if (.not. stop_now) then
            if (with_gradient) part(:, c) = 0.0_wp
            do b = chunk_start(c), chunk_start(c + 1) - 1
               call evaluate_block(b, part(:, c), loss_part(c), value, slope, seed)
            end do
            ! The calling thread is the one Python delivers Ctrl-C to
            if (thread == 0) then
               if (interrupted()) then
                  !$omp atomic write
                  stopped = .true.
               end if
            end if
         end if
      end do
      !$omp end do
      !$omp end parallel

      loss = 0.0_wp
      if (stopped) return
      do c = 1, n_chunks
         loss = loss + loss_part(c)
      end do
      if (.not. with_gradient) return
      gradient = 0.0_wp
      do c = 1, n_chunks
         gradient = gradient + part(:, c)
      end do

   contains

      !> First block of chunk c
      pure integer function chunk_start(c)
         integer, intent(in) :: c
         chunk_start = 1 + int(int(c - 1, i8)*pack%n_blocks/n_chunks)
      end function chunk_start

      subroutine evaluate_block(b, gradient_part, loss_sum, value, slope, seed)
         integer, intent(in) :: b
         real(wp), intent(inout), contiguous :: gradient_part(:)
         real(wp), intent(inout) :: loss_sum
         real(wp), intent(inout), contiguous :: value(:), slope(:), seed(:)
         integer :: t, s, q, n_q, first, last, output
         integer(i8) :: x
         first = pack%block_first(b) + 1
         last = pack%block_first(b + 1)
         energy(first:last) = 0.0_wp
         do t = 1, pack%n_species
            n_q = pack%panel_width(t, b)
            if (n_q == 0) cycle
            x = pack%panel_offset(t, b) + 1
            associate (net => networks(t))
               call forward(net, n_q, features(x), weights(net%first_weight:), &
                  value(scratch(t) + 1:), slope(scratch(t) + 1:))
               output = scratch(t) + n_q*(net%n_columns - 1)
            end associate
            do s = first, last
               q = output + pack%atom_offset(t, s)
               energy(s) = energy(s) + sum(value(q + 1:q + pack%atom_count(t, s)))
            end do
         end do
         residual(first:last) = factor(first:last)*(energy_ref(first:last) - energy(first:last))
         call centre_groups(group(first:last), residual(first:last))
         do s = first, last
            loss_sum = loss_sum + 0.5_wp*structure_weight(s)*residual(s)**2
         end do
         if (.not. with_gradient) return
         do t = 1, pack%n_species
            n_q = pack%panel_width(t, b)
            if (n_q == 0) cycle
            seed(:n_q) = 0.0_wp
            do s = first, last
               q = pack%atom_offset(t, s)
               seed(q + 1:q + pack%atom_count(t, s)) = -structure_weight(s)*factor(s)*residual(s)
            end do
            x = pack%panel_offset(t, b) + 1
            associate (net => networks(t))
               call backward_to_weights(net, n_q, features(x), weights(net%first_weight:), seed, &
                  value(scratch(t) + 1:), slope(scratch(t) + 1:), gradient_part(net%first_weight:))
            end associate
         end do
      end subroutine evaluate_block

   end subroutine evaluate_energy_loss

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
