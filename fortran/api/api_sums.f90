!> What Python sees of sums over fixed leaves, whose parts several processes have; see tf_tree_sum.
module tf_api_sums
   use tf_kinds, only : wp, i8
   use tf_tree_sum, only : most_nodes, columns_of_sums, join_nodes, total_of_nodes
   implicit none
   private
   public :: sums_most, sums_columns, sums_join, sums_total

contains

   !> \brief So many nodes make up any n leaves at most.
   subroutine sums_most(n_leaves, n)
      !> Leaves of the sum
      integer, intent(in) :: n_leaves
      !> Nodes at most
      integer, intent(out) :: n

      n = most_nodes(n_leaves)
   end subroutine sums_most

   !> \brief Columns of partial sums that an evaluation takes: its memory besides the data.
   subroutine sums_columns(n_leaves, n_threads, n)
      !> Leaves of the sum
      integer, intent(in) :: n_leaves
      !> Threads of the call
      integer, intent(in) :: n_threads
      !> Columns
      integer, intent(out) :: n

      n = columns_of_sums(n_leaves, n_threads)
   end subroutine sums_columns

   !> \brief Join nodes of consecutive leaves; n_joined of them are left.
   subroutine sums_join(nodes, sums, n_joined)
      !> (2, n_nodes) and (n_numbers, n_nodes) as for `loss_evaluate` of tf_api_losses
      integer(i8), intent(inout), contiguous :: nodes(:, :)
      real(wp), intent(inout), contiguous :: sums(:, :)
      !> Nodes that are left
      integer, intent(out) :: n_joined
      integer :: level(size(nodes, 2))

      level = int(nodes(2, :))
      n_joined = size(level)
      call join_nodes(n_joined, nodes(1, :), level, sums)
      nodes(2, :) = level
   end subroutine sums_join

   !> \brief The sum over all leaves, from their joined nodes, in the first column.
   subroutine sums_total(sums)
      !> (n_numbers, n_nodes)
      real(wp), intent(inout), contiguous :: sums(:, :)

      call total_of_nodes(size(sums, 2), sums)
   end subroutine sums_total

end module tf_api_sums
