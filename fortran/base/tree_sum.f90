!> Sums of the contributions of many leaves in the order of a fixed binary tree: the same bits for any number of threads
!> and processes.
!>
!> Leaves are numbered from 0.  The sum of the leaves k·2^l … (k + 1)·2^l − 1 (a node of level l) is the sum of its two
!> halves; where leaves end within the left half, it is that half.  The leaves of any range make up a few nodes, at most
!> two of each level, and those of consecutive ranges are joined in order, whatever the ranges are.
module tf_tree_sum
   use tf_kinds, only : wp, i8, lanes
   use, intrinsic :: iso_c_binding, only : c_loc, c_intptr_t
   use tf_error, only : error_type, check_memory
   use tf_stop, only : stop_type, must_stop
!$ use omp_lib, only : omp_get_thread_num
   implicit none
   private
   public :: nodes_type, new_nodes, leaf_task_type, sum_leaves, join_nodes, total_of_nodes, most_nodes, &
      columns_of_sums, useful_threads

   ! Subtrees that a thread takes: with fewer it may wait for the others at the end, with more memory grows
   integer, parameter :: subtrees_per_thread = 16
   ! Waking a thread costs as much as the work on a few hundred atoms
   integer, parameter :: atoms_per_thread = 2000
   ! Bytes of a cache line: vectors that straddle two are slower
   integer, parameter :: line = 64
   ! Numbers that are joined at a time
   integer, parameter :: slice = 512
   ! Level of a column that holds no node
   integer, parameter :: no_node = -1

   !> Sums of consecutive nodes; the first n of each array count
   type :: nodes_type
      integer :: n = 0
      !> First leaf of each node, and its level
      integer(i8), allocatable :: first(:)
      integer, allocatable :: level(:)
      !> (n_numbers, …)
      real(wp), allocatable :: sums(:, :)
   end type nodes_type

   !> What a leaf contributes
   type, abstract :: leaf_task_type
      !> Leaves, the number of the first, and the numbers that each contributes to
      integer :: n_leaves = 0
      integer(i8) :: first_leaf = 0_i8, n_numbers = 0_i8
      !> Numbers of scratch that a thread needs
      integer(i8) :: n_scratch = 0_i8
      integer :: n_threads = 1
   contains
      procedure(add_leaf_interface), deferred :: add_leaf
   end type leaf_task_type

   abstract interface
      !> Add the contribution of one leaf
      subroutine add_leaf_interface(task, leaf, thread, scratch, sums, error)
         import :: leaf_task_type, wp, error_type
         implicit none
         class(leaf_task_type), intent(in) :: task
         !> Number of the leaf among those of the task, and of the thread, from 1
         integer, intent(in) :: leaf, thread
         !> Of this thread
         real(wp), intent(inout), contiguous, target :: scratch(:)
         !> (n_numbers)
         real(wp), intent(inout), contiguous :: sums(:)
         type(error_type), allocatable, intent(inout) :: error
      end subroutine add_leaf_interface
   end interface

contains

   !> So many threads are worth waking
   pure integer function useful_threads(n_atoms, n_threads)
      !> Atoms of all leaves, in units of the work on an atom of energy training
      integer(i8), intent(in) :: n_atoms
      !> At most
      integer, intent(in) :: n_threads

      useful_threads = int(min(int(n_threads, i8), max(1_i8, n_atoms/atoms_per_thread)))
   end function useful_threads

   !> So many nodes make up any n leaves at most, one that is being added included
   pure integer function most_nodes(n)
      integer, intent(in) :: n

      most_nodes = 2*(bit_size(n) - leadz(max(n, 1))) + 1
   end function most_nodes

   !> Room for nodes; sums of an earlier call that fit are taken again, for fresh memory costs more than adding to it
   subroutine new_nodes(nodes, n_numbers, most, error)
      type(nodes_type), intent(inout) :: nodes
      integer(i8), intent(in) :: n_numbers
      integer, intent(in) :: most
      type(error_type), allocatable, intent(inout) :: error
      integer :: status

      nodes%n = 0
      if (allocated(nodes%first)) deallocate (nodes%first, nodes%level)
      ! Columns begin at the same place of a cache line
      associate (n => ((n_numbers + lanes - 1)/lanes)*lanes)
         if (allocated(nodes%sums)) then
            if (any(shape(nodes%sums, kind=i8) /= [n, int(most, i8)])) deallocate (nodes%sums)
         end if
         allocate (nodes%first(most), nodes%level(most), stat=status)
         if (status == 0 .and. .not. allocated(nodes%sums)) allocate (nodes%sums(n, most), stat=status)
         call check_memory(status, "partial sums", 8_i8*(n + 2)*most, error)
      end associate
   end subroutine new_nodes

   !> Level of the subtrees that threads take, the first and the last of them as far as their leaves are there
   pure integer function subtree_level(n_leaves, n_threads)
      integer, intent(in) :: n_leaves, n_threads

      subtree_level = bit_size(0_i8) - 1
      if (n_threads == 1) return
      subtree_level = 0
      do while (shiftr(n_leaves, subtree_level) > subtrees_per_thread*n_threads)
         subtree_level = subtree_level + 1
      end do
   end function subtree_level

   !> Columns of all partial sums that a sum takes
   pure integer function columns_of_sums(n_leaves, n_threads)
      integer, intent(in) :: n_leaves, n_threads

      columns_of_sums = (n_threads + 2)*most_nodes(n_leaves) + 2 &
         + int(shiftr(int(n_leaves, i8), subtree_level(n_leaves, n_threads)))
   end function columns_of_sums

   !> Sum over the leaves of a task, as few nodes
   subroutine sum_leaves(task, nodes, stop, error)
      class(leaf_task_type), intent(in) :: task
      !> Sums of size n_numbers or more: the others mean nothing
      type(nodes_type), intent(inout) :: nodes
      !> The user pressed Ctrl-C; the results are incomplete
      type(stop_type), intent(inout) :: stop
      type(error_type), allocatable, intent(inout) :: error
      integer :: shift, n_subtrees, c
      integer(i8) :: first_subtree

      shift = subtree_level(task%n_leaves, task%n_threads)
      first_subtree = shiftr(task%first_leaf, shift)
      n_subtrees = 0
      if (task%n_leaves > 0) n_subtrees = int(shiftr(task%first_leaf + task%n_leaves - 1, shift) - first_subtree) + 1
      ! The first subtree may have several nodes, and the last; the others have one
      call new_nodes(nodes, task%n_numbers, n_subtrees + 2*most_nodes(task%n_leaves), error)
      if (allocated(error)) return
      nodes%level = no_node

      !$omp parallel num_threads(task%n_threads) if(task%n_threads > 1) default(shared) private(c)
      call add_subtrees(task, shift, first_subtree, n_subtrees, nodes, stop, error)
      !$omp do schedule(static)
      do c = 1, size(nodes%sums, 1), slice
         call join_slice(nodes, nodes%sums(c:min(c + slice - 1, size(nodes%sums, 1)), :))
      end do
      !$omp end do
      !$omp end parallel
      nodes%n = size(nodes%level)
      call join_nodes(nodes%n, nodes%first, nodes%level, nodes%sums(:0, :))
   end subroutine sum_leaves

   !> One thread's share of the subtrees
   subroutine add_subtrees(task, shift, first_subtree, n_subtrees, nodes, stop, error)
      class(leaf_task_type), intent(in) :: task
      !> Leaves of a subtree are 2^shift; number of the first subtree, from 0, and how many there are
      integer, intent(in) :: shift
      integer(i8), intent(in) :: first_subtree
      integer, intent(in) :: n_subtrees
      !> Shared by the threads
      type(nodes_type), intent(inout) :: nodes
      type(stop_type), intent(inout) :: stop
      type(error_type), allocatable, intent(inout) :: error
      type(error_type), allocatable :: error_here
      type(nodes_type) :: own
      real(wp), allocatable, target :: scratch(:)
      integer :: c, leaf, thread, at, status
      integer(i8) :: align
      logical :: stopped

      thread = 1
      !$ if (task%n_threads > 1) thread = omp_get_thread_num() + 1
      call new_nodes(own, task%n_numbers, most_nodes(task%n_leaves), error_here)
      allocate (scratch(task%n_scratch + line/8), stat=status)
      call check_memory(status, "the networks of a block of atoms", 8_i8*(task%n_scratch + line/8), error_here)
      call keep(error_here, error)
      ! None goes on if one has failed
      !$omp barrier
      align = modulo(-transfer(c_loc(scratch), 0_c_intptr_t), int(line, c_intptr_t))/8
      !$omp do schedule(dynamic)
      do c = 1, n_subtrees
         own%n = 0
         do leaf = int(max(0_i8, shiftl(first_subtree + c - 1, shift) - task%first_leaf)) + 1, last_leaf(c)
            ! The calling thread is the one Python delivers Ctrl-C to
            stopped = must_stop(stop, thread == 1)
            if (stopped .or. allocated(error)) exit
            own%n = own%n + 1
            own%first(own%n) = task%first_leaf + leaf - 1
            own%level(own%n) = 0
            own%sums(:, own%n) = 0.0_wp
            call task%add_leaf(leaf, thread, scratch(align + 1:), own%sums(:task%n_numbers, own%n), error_here)
            call keep(error_here, error)
            call carry(own%n, own%first, own%level, own%sums)
         end do
         at = merge(c, c + most_nodes(task%n_leaves), c == 1)
         nodes%first(at:at + own%n - 1) = own%first(:own%n)
         nodes%level(at:at + own%n - 1) = own%level(:own%n)
         nodes%sums(:, at:at + own%n - 1) = own%sums(:, :own%n)
      end do
      !$omp end do

   contains

      !> Last leaf of subtree c, from 1
      pure integer function last_leaf(c)
         integer, intent(in) :: c

         if (c == n_subtrees) then
            last_leaf = task%n_leaves
         else
            last_leaf = int(shiftl(first_subtree + c, shift) - task%first_leaf)
         end if
      end function last_leaf

      !> The first error of any thread
      subroutine keep(error_here, error)
         type(error_type), allocatable, intent(inout) :: error_here, error

         if (.not. allocated(error_here)) return
         !$omp critical (tf_tree_sum_error)
         if (.not. allocated(error)) error = error_here
         !$omp end critical (tf_tree_sum_error)
         deallocate (error_here)
      end subroutine keep

   end subroutine add_subtrees

   !> Join nodes that stand in order, some of them perhaps empty
   pure subroutine join_nodes(n, first, level, sums)
      !> Nodes before and after
      integer, intent(inout) :: n
      !> See `nodes_type`
      integer(i8), intent(inout) :: first(:)
      integer, intent(inout) :: level(:)
      !> All numbers, or some
      real(wp), intent(inout) :: sums(:, :)
      integer :: i, m

      m = n
      n = 0
      do i = 1, m
         if (level(i) == no_node) cycle
         n = n + 1
         first(n) = first(i)
         level(n) = level(i)
         if (n < i) sums(:, n) = sums(:, i)
         call carry(n, first, level, sums)
      end do
   end subroutine join_nodes

   !> Join some of the numbers of all columns; what the columns are stays untouched for the others
   pure subroutine join_slice(nodes, sums)
      type(nodes_type), intent(in) :: nodes
      real(wp), intent(inout) :: sums(:, :)
      integer(i8) :: first(size(nodes%first))
      integer :: level(size(nodes%level)), n

      first = nodes%first
      level = nodes%level
      n = size(level)
      call join_nodes(n, first, level, sums)
   end subroutine join_slice

   !> Add the last node to the one before as long as the two are the halves of one
   pure subroutine carry(n, first, level, sums)
      integer, intent(inout) :: n
      integer(i8), intent(in) :: first(:)
      integer, intent(inout) :: level(:)
      real(wp), intent(inout) :: sums(:, :)

      do while (n > 1)
         if (level(n - 1) /= level(n) .or. btest(first(n - 1), level(n))) return
         n = n - 1
         sums(:, n) = sums(:, n) + sums(:, n + 1)
         level(n) = level(n) + 1
      end do
   end subroutine carry

   !> The sum over all leaves, from their joined nodes, in the first column
   pure subroutine total_of_nodes(n, sums)
      integer, intent(in) :: n
      real(wp), intent(inout) :: sums(:, :)
      integer :: i

      do i = n - 1, 1, -1
         sums(:, i) = sums(:, i) + sums(:, i + 1)
      end do
   end subroutine total_of_nodes

end module tf_tree_sum
