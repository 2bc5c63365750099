!> Sums over the blocks of a packed data set, by any number of threads with the same result.
!>
!> Blocks are joined to a fixed number of chunks whose partial sums are added in fixed order.
module tf_chunks
   use tf_kinds, only : wp, i8
   use, intrinsic :: iso_c_binding, only : c_loc, c_intptr_t
   use tf_error, only : error_type, check_memory
   use tf_stop, only : stop_type, must_stop
!$ use omp_lib, only : omp_get_thread_num
   implicit none
   private
   public :: block_task_type, sum_blocks

   integer, parameter :: max_chunks = 128
   ! Waking a thread costs as much as the work on a few hundred atoms
   integer, parameter :: atoms_per_thread = 2000
   ! Bytes of a cache line: vectors that straddle two are slower
   integer, parameter :: line = 64

   !> What is done with a block: its share of a loss and of the weight gradient
   type, abstract :: block_task_type
      integer :: n_blocks = 0, n_weights = 0
      !> Atoms of all blocks, in units of the work on an atom of energy training
      integer(i8) :: n_atoms = 0
      !> Numbers of scratch that a thread needs
      integer(i8) :: n_scratch = 0
      logical :: with_gradient = .false.
   contains
      procedure(evaluate_interface), deferred :: evaluate
   end type block_task_type

   abstract interface
      !> Add the share of block b to the loss and, if wanted, to the gradient
      subroutine evaluate_interface(task, b, scratch, gradient, loss)
         import :: block_task_type, wp
         implicit none
         class(block_task_type), intent(in) :: task
         !> Number of the block
         integer, intent(in) :: b
         !> Of this thread
         real(wp), intent(inout), contiguous :: scratch(:)
         !> (n_weights), or of size 0
         real(wp), intent(inout), contiguous :: gradient(:)
         real(wp), intent(inout) :: loss
      end subroutine evaluate_interface
   end interface

contains

   !> Loss and gradient of all blocks
   subroutine sum_blocks(task, n_threads, loss, gradient, stop, error)
      class(block_task_type), intent(in) :: task
      !> At most so many; the sum over all blocks
      integer, intent(in) :: n_threads
      real(wp), intent(out) :: loss
      !> (n_weights); untouched unless the task is with gradient
      real(wp), intent(inout) :: gradient(:)
      !> The user pressed Ctrl-C; the results are incomplete
      type(stop_type), intent(inout) :: stop
      type(error_type), allocatable, intent(inout) :: error
      real(wp), allocatable :: part(:, :), loss_part(:)
      real(wp), allocatable, target :: scratch(:)
      integer :: n_chunks, n_use, c, b, thread, shift, status
      integer(i8) :: n_part

      n_chunks = min(task%n_blocks, max_chunks)
      n_part = merge(task%n_weights, 0, task%with_gradient)
      loss = 0.0_wp
      allocate (loss_part(n_chunks), part(n_part, n_chunks), stat=status)
      call check_memory(status, "the gradients of parts of the loss", 8_i8*(n_part + 1)*n_chunks, error)
      if (allocated(error)) return
      loss_part = 0.0_wp

      n_use = int(min(int(n_threads, i8), max(1_i8, task%n_atoms/atoms_per_thread)))
      !$omp parallel num_threads(n_use) if(n_use > 1) default(shared) private(c, b, scratch, shift, thread, status)
      allocate (scratch(task%n_scratch + line/8), stat=status)
      if (status /= 0) then
         !$omp critical (tf_chunks_error)
         call check_memory(status, "the networks of a block of atoms", 8_i8*(task%n_scratch + line/8), error)
         !$omp end critical (tf_chunks_error)
      end if
      ! None goes on if one has failed
      !$omp barrier
      shift = int(modulo(-transfer(c_loc(scratch), 0_c_intptr_t), int(line, c_intptr_t)))/8
      thread = 0
      !$ thread = omp_get_thread_num()
      !$omp do schedule(dynamic)
      do c = 1, n_chunks
         if (allocated(error)) cycle
         ! The calling thread is the one Python delivers Ctrl-C to
         if (must_stop(stop, thread == 0)) cycle
         if (task%with_gradient) part(:, c) = 0.0_wp
         do b = chunk_start(c), chunk_start(c + 1) - 1
            call task%evaluate(b, scratch(shift + 1:), part(:, c), loss_part(c))
         end do
      end do
      !$omp end do
      !$omp end parallel

      if (stop%stopped .or. allocated(error)) return
      do c = 1, n_chunks
         loss = loss + loss_part(c)
      end do
      if (.not. task%with_gradient) return
      gradient = 0.0_wp
      do c = 1, n_chunks
         gradient = gradient + part(:, c)
      end do

   contains

      !> First block of chunk c
      pure integer function chunk_start(c)
         integer, intent(in) :: c

         chunk_start = 1 + int(int(c - 1, i8)*task%n_blocks/n_chunks)
      end function chunk_start

   end subroutine sum_blocks

end module tf_chunks
