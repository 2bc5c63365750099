!> Checks of what Python asks of a loss: weights, threads, structures, blocks and mini-batches.
module tf_loss_checks
   use tf_error, only : error_type, raise, error_size, error_value
   use tf_kinds, only : wp
   use tf_pack, only : loss_type
   implicit none
   private
   public :: check_call, check_blocks, check_batch_rows

contains

   !> `check_call` for blocks of a loss with forces
   subroutine check_blocks(loss, filled, with_terms, weights, n_threads, blocks, error)
      type(loss_type), intent(in) :: loss
      !> Has it been filled, and has it forces or directions?
      logical, intent(in) :: filled, with_terms
      !> (n_weights) of all networks
      real(wp), intent(in) :: weights(:)
      !> Threads of the call
      integer, intent(in) :: n_threads
      !> Block numbers, from 1
      integer, intent(in) :: blocks(:)
      type(error_type), allocatable, intent(inout) :: error

      call check_call(loss, filled, weights, n_threads, error)
      if (.not. with_terms) call raise(error, error_value, "the loss has no forces")
      if (allocated(error)) return
      if (any(blocks < 1) .or. any(blocks > loss%pack%n_blocks)) then
        call raise(error, error_value, "a chosen block is not in the packed data set")
      end if
   end subroutine check_blocks

   !> `check_call` for the rows of a mini-batch that are those of this process
   subroutine check_batch_rows(loss, filled, weights, n_threads, rows, here, error)
      type(loss_type), intent(in) :: loss
      !> Has it been filled?
      logical, intent(in) :: filled
      !> (n_weights) of all networks
      real(wp), intent(in) :: weights(:)
      !> Threads of the call
      integer, intent(in) :: n_threads
      !> See `loss_batch`
      integer, intent(in) :: rows(:, :)
      integer, intent(in) :: here(:)
      type(error_type), allocatable, intent(inout) :: error

      if (size(rows, 2) /= 3 .or. size(here) /= 2) then
        call raise(error, error_size, "a mini-batch has the wrong size")
      else if (any(here < 0) .or. sum(here) > size(rows, 1)) then
        call raise(error, error_value, "a process has rows that are not in the mini-batch")
      else
        call check_call(loss, filled, weights, n_threads, error, rows(here(1) + 1:sum(here), 1))
      end if
   end subroutine check_batch_rows

   !> Refuse an empty loss, weights of other networks, no threads, and structures that are not there
   subroutine check_call(loss, filled, weights, n_threads, error, chosen)
      type(loss_type), intent(in) :: loss
      !> Has it been filled?
      logical, intent(in) :: filled
      !> (n_weights) of all networks
      real(wp), intent(in), contiguous :: weights(:)
      !> Threads of the call
      integer, intent(in) :: n_threads
      type(error_type), allocatable, intent(inout) :: error
      !> Structure numbers, from 1
      integer, intent(in), optional :: chosen(:)

      if (.not. filled) then
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

end module tf_loss_checks
