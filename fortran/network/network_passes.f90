!> Networks evaluated over panels of atoms, forwards and backwards.
module tf_network_passes
   use tf_kinds, only : wp, rp => wp
   use tf_activation, only : activate, activate_twice
   use tf_dense, only : add_product, add_outer_product, add_column_sums, tile_in, tile_out
   use tf_network, only : network_type
   implicit none
   private
   public :: forward, backward_to_weights, backward_to_inputs, transposed_product

   !> Weights are turned round in squares of so many; a multiple of the tiles of `add_product`, so that sums have one order
   integer, parameter :: piece = 2*tile_out*tile_in

contains

   !> Values, slopes and, if wanted, curvatures of all layers for a panel of n_q atoms
   pure subroutine forward(net, n_q, x, weights, value, slope, curvature)
      type(network_type), intent(in) :: net
      !> Atoms of the panel (padded)
      integer, intent(in) :: n_q
      !> Descriptors, standardised
      real(rp), intent(in) :: x(n_q, net%n_nodes(1))
      real(rp), intent(in) :: weights(net%n_weights)
      !> Values of all layers after the input; the last column is the output
      real(rp), intent(out) :: value(n_q, net%n_columns)
      !> Derivative of each value with respect to its argument
      real(rp), intent(out) :: slope(n_q, net%n_columns)
      !> Second derivative
      real(rp), intent(out), optional :: curvature(n_q, net%n_columns)
      integer :: l, p, n_in, n_out, w, c

      do l = 1, net%n_layers - 1
         n_in = net%n_nodes(l)
         n_out = net%n_nodes(l + 1)
         w = net%weight_offset(l)
         c = net%node_offset(l + 1)
         do p = 1, n_out
            value(:, c + p) = weights(w + n_in*n_out + p)
         end do
         if (l == 1) then
            call add_product(n_q, n_in, n_out, x, weights(w + 1), value(1, c + 1))
         else
            call add_product(n_q, n_in, n_out, value(1, net%node_offset(l) + 1), weights(w + 1), &
               value(1, c + 1))
         end if
         if (present(curvature)) then
            call activate_twice(net%activation(l + 1), n_q*n_out, value(1, c + 1), slope(1, c + 1), curvature(1, c + 1))
         else
            call activate(net%activation(l + 1), n_q*n_out, value(1, c + 1), slope(1, c + 1))
         end if
      end do
   end subroutine forward

   !> Add the derivative of Σ_q seed(q)·output(q) with respect to the weights to `gradient`
   pure subroutine backward_to_weights(net, n_q, x, weights, seed, value, slope, gradient)
      type(network_type), intent(in) :: net
      !> Atoms of the panel (padded); the rest as for `forward`
      integer, intent(in) :: n_q
      real(rp), intent(in) :: x(n_q, net%n_nodes(1))
      real(rp), intent(in) :: weights(net%n_weights)
      !> Derivative of the loss with respect to each atom's output
      real(rp), intent(in) :: seed(n_q)
      !> From `forward`; overwritten
      real(rp), intent(inout) :: value(n_q, net%n_columns)
      !> From `forward`; overwritten with the derivatives with respect to the arguments
      real(rp), intent(inout) :: slope(n_q, net%n_columns)
      real(wp), intent(inout) :: gradient(net%n_weights)
      integer :: l, n_in, n_out, w, c

      c = net%node_offset(net%n_layers) + 1
      slope(:, c) = slope(:, c)*seed
      do l = net%n_layers - 1, 1, -1
         n_in = net%n_nodes(l)
         n_out = net%n_nodes(l + 1)
         w = net%weight_offset(l)
         c = net%node_offset(l + 1)
         if (l > 1) then
            call add_outer_product(n_q, n_in, n_out, value(1, net%node_offset(l) + 1), slope(1, c + 1), &
               gradient(w + 1))
         else
            call add_outer_product(n_q, n_in, n_out, x, slope(1, c + 1), gradient(w + 1))
         end if
         call add_column_sums(n_q, n_out, slope(1, c + 1), gradient(w + n_in*n_out + 1))
         if (l > 1) call pass_back(n_q, n_in, n_out, weights(w + 1), slope(1, c + 1), &
            value(1, net%node_offset(l) + 1), slope(1, net%node_offset(l) + 1))
      end do
   end subroutine backward_to_weights

   !> Derivative of each atom's output with respect to its inputs
   pure subroutine backward_to_inputs(net, n_q, weights, value, slope, derivative)
      type(network_type), intent(in) :: net
      !> Atoms of the panel (padded)
      integer, intent(in) :: n_q
      real(rp), intent(in) :: weights(net%n_weights)
      !> From `forward`, as for `backward_to_weights`
      real(rp), intent(inout) :: value(n_q, net%n_columns), slope(n_q, net%n_columns)
      real(rp), intent(out) :: derivative(n_q, net%n_nodes(1))
      integer :: l, n_in, n_out, w, c

      do l = net%n_layers - 1, 1, -1
         n_in = net%n_nodes(l)
         n_out = net%n_nodes(l + 1)
         w = net%weight_offset(l)
         c = net%node_offset(l + 1)
         if (l > 1) then
            call pass_back(n_q, n_in, n_out, weights(w + 1), slope(1, c + 1), &
               value(1, net%node_offset(l) + 1), slope(1, net%node_offset(l) + 1))
         else
            call transposed_product(n_q, n_in, n_out, weights(w + 1), slope(1, c + 1), derivative)
         end if
      end do
   end subroutine backward_to_inputs

   !> below(q,k) = below(q,k) · Σ_p above(q,p) w(p,k)
   pure subroutine pass_back(n_q, n_in, n_out, w, above, product, below)
      !> Atoms of the panel (padded), nodes of the two layers
      integer, intent(in) :: n_q, n_in, n_out
      real(rp), intent(in) :: w(n_out, n_in)
      real(rp), intent(in) :: above(n_q, n_out)
      !> Scratch
      real(rp), intent(inout) :: product(n_q, n_in)
      real(rp), intent(inout) :: below(n_q, n_in)
      integer :: k

      if (n_out == 1) then
         do k = 1, n_in
            below(:, k) = below(:, k)*(w(1, k)*above(:, 1))
         end do
         return
      end if
      call transposed_product(n_q, n_in, n_out, w, above, product)
      below = below*product
   end subroutine pass_back

   !> below(q,k) = Σ_p above(q,p) w(p,k)
   pure subroutine transposed_product(n_q, n_in, n_out, w, above, below)
      !> As for `pass_back`
      integer, intent(in) :: n_q, n_in, n_out
      real(rp), intent(in) :: w(n_out, n_in)
      real(rp), intent(in) :: above(n_q, n_out)
      real(rp), intent(out) :: below(n_q, n_in)
      ! In pieces: a copy of all weights could be more than the memory has left
      real(rp) :: turned(piece**2)
      integer :: k, p, i, n_k, n_p

      below = 0.0_rp
      do k = 0, n_in - 1, piece
         n_k = min(piece, n_in - k)
         do p = 0, n_out - 1, piece
            n_p = min(piece, n_out - p)
            do i = 1, n_p
               turned((i - 1)*n_k + 1:i*n_k) = w(p + i, k + 1:k + n_k)
            end do
            call add_product(n_q, n_p, n_k, above(1, p + 1), turned, below(1, k + 1))
         end do
      end do
   end subroutine transposed_product

end module tf_network_passes
