!> Checks of what Python asks of a loss: weights, threads, structures, blocks and mini-batches.
module tf_loss_checks
   use tf_error, only : error_type, raise, error_size, error_value
   use tf_kinds, only : wp, i8
   use tf_pack, only : loss_type
   use tf_tree_sum, only : most_nodes
   implicit none
   private
   public :: check_call, check_rows, check_adam, check_sums

contains

   !> `check_call` for the rows of a batch that are those of this process
   subroutine check_rows(loss, with_terms, weights, n_threads, rows, here, error)
      type(loss_type), intent(in) :: loss
      !> Has it forces or directions?
      logical, intent(in) :: with_terms
      !> (n_weights) of all networks
      real(wp), intent(in) :: weights(:)
      !> Threads of the call
      integer, intent(in) :: n_threads
      !> See `loss_batch`
      integer, intent(in) :: rows(:, :)
      integer, intent(in) :: here(:)
      type(error_type), allocatable, intent(inout) :: error

      if (all(size(rows, 2) /= [1, 3]) .or. size(here) /= 2) then
        call raise(error, error_size, "a mini-batch has the wrong size")
      else if (any(here < 0) .or. sum(here) > size(rows, 1)) then
        call raise(error, error_value, "a process has rows that are not in the mini-batch")
      else if (size(rows, 2) == 3) then
        call check_call(loss, weights, n_threads, error, rows(here(1) + 1:sum(here), 1))
      else
        call check_call(loss, weights, n_threads, error)
        if (.not. with_terms) call raise(error, error_value, "the loss has no forces")
        if (allocated(error)) return
        associate (blocks => rows(here(1) + 1:sum(here), 1))
           if (any(blocks < 1) .or. any(blocks > loss%pack%n_blocks)) then
             call raise(error, error_value, "a chosen block is not in the packed data set")
           end if
        end associate
      end if
   end subroutine check_rows

   !> Refuse an empty loss, weights of other networks, no threads, and structures that are not there
   subroutine check_call(loss, weights, n_threads, error, chosen)
      type(loss_type), intent(in) :: loss
      !> (n_weights) of all networks
      real(wp), intent(in), contiguous :: weights(:)
      !> Threads of the call
      integer, intent(in) :: n_threads
      type(error_type), allocatable, intent(inout) :: error
      !> Structure numbers, from 1
      integer, intent(in), optional :: chosen(:)

      if (.not. allocated(loss%networks)) then
         call raise(error, error_value, "the loss is empty")
         return
      end if
      if (size(weights) /= loss%n_weights) call raise(error, error_size, "weights do not match the networks")
      if (n_threads < 1) call raise(error, error_value, "the number of threads must be positive")
      if (.not. present(chosen)) return
      if (any(chosen < 1) .or. any(chosen > loss%pack%n_structures)) then
        call raise(error, error_value, "a chosen structure is not in the packed data set")
      end if
   end subroutine check_call

   !> Refuse arrays of Adam that do not fit the weights, and empty batches
   subroutine check_adam(weights, mean, mean_square, n_steps, rates, batch_size, error)
      !> (n_weights) all three
      real(wp), intent(in) :: weights(:), mean(:), mean_square(:)
      !> (1)
      integer, intent(in) :: n_steps(:)
      !> mu, b1, b2, eps, decay
      real(wp), intent(in) :: rates(:)
      integer, intent(in) :: batch_size
      type(error_type), allocatable, intent(inout) :: error

      if (size(mean) /= size(weights) .or. size(mean_square) /= size(weights) .or. size(n_steps) /= 1 .or. &
         size(rates) /= 5) then
        call raise(error, error_size, "arrays of the optimiser have the wrong size")
      end if
      if (batch_size < 1) call raise(error, error_value, "the batch size must be positive")
   end subroutine check_adam

   !> Refuse arrays without room for the partial sums of so many leaves
   subroutine check_sums(n_leaves, n_numbers, nodes, sums, error)
      !> Leaves, and numbers of each sum
      integer, intent(in) :: n_leaves, n_numbers
      !> (2, nodes) first leaf and level of each, and (n_numbers, nodes) its sum, see tf_tree_sum
      integer(i8), intent(in) :: nodes(:, :)
      real(wp), intent(in) :: sums(:, :)
      type(error_type), allocatable, intent(inout) :: error

      if (size(sums, 1) /= n_numbers .or. size(sums, 2) < most_nodes(n_leaves) .or. &
         any(shape(nodes) /= [2, size(sums, 2)])) then
        call raise(error, error_size, "arrays of partial sums have the wrong size")
      end if
   end subroutine check_sums

end module tf_loss_checks
