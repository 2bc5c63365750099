!> Steps along the gradient of some blocks of a pack, for losses with forces: what a block has in common is computed once.
module tf_block_passes
   use tf_kinds, only : wp, i8
   use tf_adam, only : adam_step
   use tf_error, only : error_type, check_memory
   use tf_force_loss, only : evaluate_force_loss
   use tf_force_loss_single, only : evaluate_force_loss_single => evaluate_force_loss
   use tf_force_terms, only : force_terms_type
   use tf_pack, only : loss_type
   use tf_stop, only : stop_type, must_stop
   use tf_tree_sum, only : nodes_type, total_of_nodes
   implicit none
   private
   public :: block_sums, adam_block_pass

contains

   !> The weight gradient, and behind it the loss, of some blocks alone: as sums over these
   subroutine block_sums(loss, terms, weights, blocks, n_before, n_threads, nodes, stop, error)
      type(loss_type), intent(in) :: loss
      type(force_terms_type), intent(in) :: terms
      !> (n_weights) of all networks
      real(wp), intent(in) :: weights(:)
      !> Numbers of blocks, from 1
      integer, intent(in) :: blocks(:)
      !> Blocks of other processes before these
      integer, intent(in) :: n_before
      integer, intent(in) :: n_threads
      type(nodes_type), intent(out) :: nodes
      type(stop_type), intent(inout) :: stop
      type(error_type), allocatable, intent(inout) :: error
      real(wp), allocatable :: energy(:), force(:, :), derivative(:)
      integer :: status

      ! Only what belongs to the blocks is ever touched
      allocate (energy(loss%pack%n_structures), force(3, size(terms%force_ref, 2)), derivative(size(terms%derivative_ref)), &
         stat=status)
      call check_memory(status, "energies and forces", 24_i8*size(terms%force_ref, 2), error)
      if (allocated(error)) return
      if (size(loss%pack%features_single) > 0) then
         call evaluate_force_loss_single(loss, terms, weights, .true., n_threads, energy, force, derivative, nodes, stop, &
            error, blocks, int(n_before, i8))
      else
         call evaluate_force_loss(loss, terms, weights, .true., n_threads, energy, force, derivative, nodes, stop, error, &
            blocks, int(n_before, i8))
      end if
   end subroutine block_sums

   !> Adam, `batch_size` blocks after the other; the last batch may have fewer
   subroutine adam_block_pass(loss, terms, blocks, batch_size, rates, n_threads, weights, mean, mean_square, n_steps, error)
      type(loss_type), intent(in) :: loss
      type(force_terms_type), intent(in) :: terms
      !> Numbers of blocks, from 1, ascending in each batch
      integer, intent(in) :: blocks(:)
      integer, intent(in) :: batch_size
      !> mu, b1, b2, eps, decay of tf_adam
      real(wp), intent(in) :: rates(5)
      integer, intent(in) :: n_threads
      !> (n_weights) all three
      real(wp), intent(inout) :: weights(:)
      real(wp), intent(inout) :: mean(:), mean_square(:)
      !> Steps taken so far
      integer, intent(inout) :: n_steps
      type(error_type), allocatable, intent(inout) :: error
      type(nodes_type) :: nodes
      type(stop_type) :: stop
      integer :: first

      stop%token => loss%token
      do first = 1, size(blocks), batch_size
         if (must_stop(stop, .true.)) return
         call block_sums(loss, terms, weights, blocks(first:min(first + batch_size - 1, size(blocks))), 0, n_threads, nodes, &
            stop, error)
         if (allocated(error) .or. stop%stopped) return
         call total_of_nodes(nodes%n, nodes%sums)
         n_steps = n_steps + 1
         call adam_step(rates, n_steps, nodes%sums(:size(weights), 1), weights, mean, &
            mean_square)
      end do
   end subroutine adam_block_pass

end module tf_block_passes
